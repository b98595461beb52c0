package api

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/unixsocket"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

func sumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// connect asks for the builder with a digest and returns the answer.
func (s *server) connect(digest string) (*tls.Conn, *bufio.Reader, *http.Response) {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.address, s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "POST %s?sha256=%s HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", nodeapi.PathBuilder, digest, nodeapi.UpgradeBuilder); err != nil {
		s.t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return conn, reader, response
}

func TestTheBuilderIsStartedWhenTheHostConnects(t *testing.T) {
	s := start(t)
	digest := sumOf("program")
	if _, _, response := s.connect(digest); response.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("without a program: %s", response.Status)
	}
	if code, text := s.do("PUT", nodeapi.PathBuilderProgram+"?sha256="+digest, "program"); code != http.StatusNoContent {
		t.Fatalf("install: %d %s", code, text)
	}
	// PID 1 starts the builder, which returns what it receives.
	asked, err := unixsocket.Listen(s.builder.Start)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		ask, err := asked.Accept()
		if err != nil {
			return
		}
		ask.Close()
		asked.Close()
		builder, err := unixsocket.Listen(s.builder.Socket)
		if err != nil {
			return
		}
		defer builder.Close()
		conn, err := builder.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	conn, reader, response := s.connect(digest)
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("connect: %s", response.Status)
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := reader.ReadString('\n'); line != "hello\n" || err != nil {
		t.Errorf("echo %q, %v", line, err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(reader); len(rest) > 0 || err != nil {
		t.Errorf("afterwards %q, %v", rest, err)
	}
}

func TestOnlyTheInstalledBuilderIsKept(t *testing.T) {
	s := start(t)
	for _, program := range []string{"first", "second"} {
		if code, text := s.do("PUT", nodeapi.PathBuilderProgram+"?sha256="+sumOf(program), program); code != http.StatusNoContent {
			t.Fatalf("install: %d %s", code, text)
		}
	}
	damaged, text := s.do("PUT", nodeapi.PathBuilderProgram+"?sha256="+sumOf("third"), "thi")
	if damaged != http.StatusBadRequest || !strings.Contains(text, "SHA-256") {
		t.Errorf("a damaged program: %d %s", damaged, text)
	}
	files, err := filepath.Glob(filepath.Join(s.builder.Dir, "*"))
	if err != nil || len(files) != 2 {
		t.Errorf("files %v, %v", files, err)
	}
	info, err := os.Stat(filepath.Join(s.builder.Dir, "program"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("program %v, %v", info, err)
	}
	if content, err := os.ReadFile(filepath.Join(s.builder.Dir, "program")); string(content) != "second" || err != nil {
		t.Errorf("program %q, %v", content, err)
	}
}

// A build may use the program already when another client has sent it, too.
func TestTheInstalledBuilderIsNotReplacedByItself(t *testing.T) {
	s := start(t)
	path := nodeapi.PathBuilderProgram + "?sha256=" + sumOf("program")
	var before os.FileInfo
	for range 2 {
		if code, text := s.do("PUT", path, "program"); code != http.StatusNoContent {
			t.Fatalf("install: %d %s", code, text)
		}
		info, err := os.Stat(filepath.Join(s.builder.Dir, "program"))
		if err != nil {
			t.Fatal(err)
		}
		if before != nil && !os.SameFile(before, info) {
			t.Error("the program was replaced")
		}
		before = info
	}
}

func TestInvalidDigestsAreRefused(t *testing.T) {
	s := start(t)
	for _, digest := range []string{"", "../../etc/passwd", strings.Repeat("0", 63), strings.ToUpper(sumOf("A"))} {
		if code, _ := s.do("PUT", nodeapi.PathBuilderProgram+"?sha256="+digest, "x"); code != http.StatusBadRequest {
			t.Errorf("install %q: %d", digest, code)
		}
	}
	if code, _ := s.do("POST", nodeapi.PathBuilder+"?sha256="+sumOf("x"), ""); code != http.StatusUpgradeRequired {
		t.Errorf("without an upgrade: %d", code)
	}
}
