package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// issue makes a certificate signed by parent, or by itself.
func issue(t *testing.T, name string, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	return issueUntil(t, name, parent, time.Now().Add(time.Hour))
}

func issueUntil(t *testing.T, name string, parent *tls.Certificate, end time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: end,
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer, by := template, any(key)
	if parent != nil {
		signer, by = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func encoded(certificate tls.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// server is a running API, with a client that the host's authority signed.
type server struct {
	t       *testing.T
	address string
	config  *tls.Config
	logDir  string
	pkiDir  string
	alarms  string
	control string // the control plane's socket
	builder Builder
	power   chan string
	host    chan nodeconfig.Host
	clock   chan time.Time
	api     *Server
}

func start(t *testing.T) *server {
	t.Helper()
	host, cluster := issue(t, "host", nil), issue(t, "cluster", nil)
	own, client := issue(t, "node", &cluster), issue(t, "client", &host)
	pki := t.TempDir()
	writePEM(t, filepath.Join(pki, "host-ca.crt"), "CERTIFICATE", host.Certificate[0])
	writePEM(t, filepath.Join(pki, "node-api.crt"), "CERTIFICATE", own.Certificate[0])
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(pki, "node-api.key"), "PRIVATE KEY", key)
	s := &server{t: t, logDir: t.TempDir(), pkiDir: pki, alarms: filepath.Join(t.TempDir(), "alarms"), control: filepath.Join(t.TempDir(), "control.sock"), power: make(chan string), host: make(chan nodeconfig.Host, 1), clock: make(chan time.Time, 1)}
	dir := t.TempDir()
	s.builder = Builder{Dir: filepath.Join(dir, "builder"), Socket: filepath.Join(dir, "run"), Start: filepath.Join(dir, "start")}
	api := &Server{
		Builder: s.builder,
		PKIDir:  pki, LogDirs: []string{t.TempDir(), s.logDir}, DataDir: t.TempDir(), AlarmsDir: s.alarms, ControlSocket: s.control, Env: os.Environ,
		Status: func() (nodeapi.Status, error) { return nodeapi.Status{Node: "n1"}, nil },
		Power:  func(action string) error { s.power <- action; return nil },
		Host:   func(settings nodeconfig.Host) error { s.host <- settings; return nil },
		Clock:  func(to time.Time) error { s.clock <- to; return nil }, AheadFile: filepath.Join(dir, "ahead"),
		Log: slog.New(slog.DiscardHandler),
	}
	s.api = api
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	runtest.Start(t, func(ctx context.Context) error { return api.Run(ctx, listener) })
	roots := x509.NewCertPool()
	roots.AddCert(cluster.Leaf)
	s.address = listener.Addr().String()
	s.config = &tls.Config{RootCAs: roots, ServerName: "node", Certificates: []tls.Certificate{client}, MinVersion: tls.VersionTLS12}
	return s
}

func (s *server) client(config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (s *server) do(method, path, body string) (int, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, "https://"+s.address+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := s.client(s.config).Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestOnlyTheHostMayConnect(t *testing.T) {
	s := start(t)
	stranger := issue(t, "stranger", nil)
	other := issue(t, "client", &stranger)
	for name, change := range map[string]func(*tls.Config){
		"no certificate":      func(c *tls.Config) { c.Certificates = nil },
		"another authority's": func(c *tls.Config) { c.Certificates = []tls.Certificate{other} },
		"TLS 1.2":             func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
	} {
		config := s.config.Clone()
		change(config)
		response, err := s.client(config).Get("https://" + s.address + nodeapi.PathStatus)
		if err == nil {
			response.Body.Close()
			t.Errorf("%s: answered %s", name, response.Status)
		}
	}
	if code, text := s.do("GET", nodeapi.PathStatus, ""); code != 200 || !strings.Contains(text, `"node":"n1"`) || strings.Contains(text, `"memoryTotalKiB":0`) {
		t.Errorf("the host: %d %s", code, text)
	}
}

func TestPowerReachesPID1(t *testing.T) {
	s := start(t)
	if code, _ := s.do("POST", nodeapi.PathPower, `{"action":"restart"}`); code != http.StatusAccepted {
		t.Errorf("restart: %d", code)
	}
	if action := <-s.power; action != "restart" {
		t.Errorf("passed on %q", action)
	}
	for _, body := range []string{`{"action":"explode"}`, `{}`, `{"action":"off","now":true}`, `{"action":"off"}{}`, `nonsense`} {
		if code, _ := s.do("POST", nodeapi.PathPower, body); code != http.StatusBadRequest {
			t.Errorf("%s: %d", body, code)
		}
	}
}

func TestClockNeedsATime(t *testing.T) {
	s := start(t)
	if code, _ := s.do("POST", nodeapi.PathClock, `{}`); code != http.StatusBadRequest {
		t.Errorf("without a time: %d", code)
	}
}

func TestLogsAreSentWholeOrFromTheirTail(t *testing.T) {
	s := start(t)
	path := filepath.Join(s.logDir, "containerd.log")
	var want strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	for name, text := range map[string]string{path: want.String(), path + ".1": "older\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{
		"":           "older\n" + want.String(),
		"&tail=2":    "line 8998\nline 8999\n",
		"&tail=0":    "",
		"&tail=9000": want.String(),
		"&tail=9999": want.String(),
	} {
		if code, text := s.do("GET", nodeapi.PathLogs+"?source=containerd"+query, ""); code != 200 || text != want {
			t.Errorf("%q: %d, %d bytes, want %d", query, code, len(text), len(want))
		}
	}
	for query, want := range map[string]int{
		"?source=nothing": 404, "?source=../containerd": 400, "": 400, "?source=containerd&tail=-1": 400, "?source=containerd&tail=x": 400,
	} {
		if code, _ := s.do("GET", nodeapi.PathLogs+query, ""); code != want {
			t.Errorf("%s: %d, want %d", query, code, want)
		}
	}
}

func TestFollowedLogSurvivesItsRotation(t *testing.T) {
	s := start(t)
	path := filepath.Join(s.logDir, "p.log")
	if err := os.WriteFile(path, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	response, err := s.client(s.config).Get("https://" + s.address + nodeapi.PathLogs + "?source=p&follow=true")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for _, step := range []struct {
		content string
		flags   int
	}{{"", os.O_APPEND}, {"two\n", os.O_APPEND}, {"3\n", os.O_TRUNC}} {
		f, err := os.OpenFile(path, os.O_WRONLY|step.flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(step.content); err != nil {
			t.Fatal(err)
		}
		f.Close()
		want := strings.TrimSpace(step.content)
		if want == "" {
			want = "one"
		}
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
	}
}

// session is the host's end of an exec.
type hostSession struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	out  *nodeapi.Writer
}

func (s *server) exec(request nodeapi.ExecRequest) *hostSession {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.address, s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	body, err := json.Marshal(request)
	if err != nil {
		s.t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: n\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: %d\r\n\r\n%s",
		nodeapi.PathExec, nodeapi.UpgradeExec, len(body), body)
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		s.t.Fatalf("exec: %v, %v", response, err)
	}
	return &hostSession{s.t, conn, in, nodeapi.NewWriter(conn)}
}

// finish reads to the last frame.
func (h *hostSession) finish() (stdout, stderr string, code int, failure string) {
	h.t.Helper()
	for {
		stream, payload, err := nodeapi.ReadFrame(h.in)
		if err != nil {
			h.t.Fatal(err)
		}
		switch stream {
		case nodeapi.Stdout:
			stdout += string(payload)
		case nodeapi.Stderr:
			stderr += string(payload)
		case nodeapi.Exit:
			return stdout, stderr, int(int32(binary.BigEndian.Uint32(payload))), ""
		case nodeapi.Failure:
			return stdout, stderr, 0, string(payload)
		default:
			h.t.Fatalf("frame %d", stream)
		}
	}
}

func TestExecSeparatesStreamsAndExitCode(t *testing.T) {
	s := start(t)
	out, err, code, _ := s.exec(nodeapi.ExecRequest{Args: []string{"sh", "-c", "echo out; echo $A >&2; exit 7"}, Env: []string{"A=env"}}).finish()
	if out != "out\n" || err != "env\n" || code != 7 {
		t.Errorf("%q %q %d", out, err, code)
	}
	if _, _, code, _ := s.exec(nodeapi.ExecRequest{Args: []string{"sh", "-c", "kill -9 $$"}}).finish(); code != 137 {
		t.Errorf("a killed program has exit code %d, want 137", code)
	}
	if _, _, _, failure := s.exec(nodeapi.ExecRequest{Args: []string{"no-such-program"}}).finish(); !strings.Contains(failure, "no such program") {
		t.Errorf("failure %q", failure)
	}
}

func TestTheHostClosesAnExec(t *testing.T) {
	h := start(t).exec(nodeapi.ExecRequest{Args: []string{"true"}})
	if _, _, code, failure := h.finish(); code != 0 || failure != "" {
		t.Fatal(code, failure)
	}
	// A host that is slow sends the end of its input after the program has exited.
	if err := h.out.Write(nodeapi.StdinClose, nil); err != nil {
		t.Fatal(err)
	}
	if err := h.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection after the exit code: %v", err)
	}
}

func TestExecStreamsBinaryStdin(t *testing.T) {
	s := start(t)
	session := s.exec(nodeapi.ExecRequest{Args: []string{"sha256sum"}})
	data := make([]byte, 5<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = session.out.Write(nodeapi.Stdin, data)
		_ = session.out.Write(nodeapi.StdinClose, nil)
	}()
	local := s.exec(nodeapi.ExecRequest{Args: []string{"wc", "-c"}})
	if err := local.out.Write(nodeapi.StdinClose, nil); err != nil {
		t.Fatal(err)
	}
	if out, _, code, _ := local.finish(); strings.TrimSpace(out) != "0" || code != 0 {
		t.Errorf("closed stdin has %q bytes", out)
	}
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	want, _, _, _ := s.exec(nodeapi.ExecRequest{Args: []string{"sh", "-c", "sha256sum < " + path}}).finish()
	if got, _, code, _ := session.finish(); got != want || code != 0 {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestExecSetsTheTerminalsSize(t *testing.T) {
	if _, err := os.Stat("/dev/ptmx"); err != nil {
		t.Skip("no pseudo-terminals here")
	}
	s := start(t)
	session := s.exec(nodeapi.ExecRequest{Args: []string{"sh", "-c", "test -t 0 && stty size && read x && stty size && exit 3"}, TTY: true, Rows: 20, Columns: 70})
	var seen bytes.Buffer
	for !strings.Contains(seen.String(), "20 70") {
		stream, payload, err := nodeapi.ReadFrame(session.in)
		if err != nil || stream != nodeapi.Stdout {
			t.Fatalf("%d %q %v after %q", stream, payload, err, seen.String())
		}
		seen.Write(payload)
	}
	if err := session.out.Write(nodeapi.Resize, []byte{0, 30, 0, 90}); err != nil {
		t.Fatal(err)
	}
	if err := session.out.Write(nodeapi.Stdin, []byte("go\n")); err != nil {
		t.Fatal(err)
	}
	if out, _, code, failure := session.finish(); !strings.Contains(out, "30 90") || code != 3 || failure != "" {
		t.Errorf("%q %d %q", out, code, failure)
	}
}

func TestProgramsAreKilledWhenTheConnectionCloses(t *testing.T) {
	// Under nohup the shells below could not trap the signal: who catches it hands
	// on the default.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(caught) })
	s := start(t)
	for name, script := range map[string]string{
		"which reads":     "trap 'echo hup > $F; exit' HUP; echo ready; while :; do read x || sleep 0.05; done",
		"which does not":  "trap 'echo hup > $F; exit' HUP; echo ready; while :; do sleep 0.05; done",
		"with a terminal": "trap 'echo hup > $F; exit' HUP; echo ready; while :; do sleep 0.05; done",
	} {
		file := filepath.Join(t.TempDir(), "ended")
		session := s.exec(nodeapi.ExecRequest{Args: []string{"sh", "-c", script}, Env: []string{"F=" + file}, TTY: strings.Contains(name, "terminal")})
		if _, payload, err := nodeapi.ReadFrame(session.in); err != nil || !strings.HasPrefix(string(payload), "ready") {
			t.Fatalf("%s: %q %v", name, payload, err)
		}
		if name == "which does not" {
			// Until all buffers are full: the server waits in a write, and the end of
			// the connection stays behind what it does not read.
			_ = session.conn.SetWriteDeadline(time.Now().Add(time.Second))
			for session.out.Write(nodeapi.Stdin, make([]byte, 1<<20)) == nil {
			}
		}
		session.conn.Close()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(file); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("%s: it still runs", name)
				break
			}
		}
	}
}

func TestExecWithoutUpgradeIsRefused(t *testing.T) {
	s := start(t)
	if code, _ := s.do("POST", nodeapi.PathExec, `{"args":["true"]}`); code != http.StatusUpgradeRequired {
		t.Errorf("%d", code)
	}
}

func TestKernelLineFormatsARecordAsDmesgDoes(t *testing.T) {
	for record, want := range map[string]string{
		"6,339,5140900,-;NET: Registered\n SUBSYSTEM=net\n": "[    5.140900] NET: Registered\n",
		"no record": "", "6,1;x": "", "6,1,-5,-;x": "", "6,1,x,-;x": "",
	} {
		if line, ok := kernelLine([]byte(record)); line != want || ok != (want != "") {
			t.Errorf("%q: %q %v", record, line, ok)
		}
	}
}

func FuzzKernelLine(f *testing.F) {
	f.Add([]byte("6,339,5140900,-;NET: Registered\n SUBSYSTEM=net\n"))
	f.Fuzz(func(t *testing.T, record []byte) {
		if line, ok := kernelLine(record); ok && strings.Count(line, "\n") != 1 {
			t.Errorf("%q is not one line", line)
		}
	})
}

func FuzzTailOffset(f *testing.F) {
	f.Add("a\nb\nc", 2)
	f.Fuzz(func(t *testing.T, text string, lines int) {
		if lines < 0 {
			return
		}
		offset, err := tailOffset(strings.NewReader(text), lines)
		if err != nil || offset < 0 || offset > int64(len(text)) {
			t.Fatalf("%d, %v", offset, err)
		}
		if n := strings.Count(strings.TrimSuffix(text[offset:], "\n"), "\n"); lines > 0 && n >= lines {
			t.Errorf("%d lines of %q from %d, wanted %d", n+1, text, offset, lines)
		}
	})
}

func TestHostReachesANodeWhoseClockIsWrongOnPurpose(t *testing.T) {
	s := start(t)
	// The kernel's clock stays what it is, which is as if it had been set ahead by two
	// hours from two hours ago.
	past := time.Now().Add(-2 * time.Hour).UTC().Format(time.RFC3339)
	if code, text := s.do("POST", nodeapi.PathClock, `{"time":"`+past+`","aheadSeconds":7200}`); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, text)
	}
	if got := time.Since(<-s.clock); got.Abs() > time.Minute {
		t.Errorf("the clock was set to %s ago", got)
	}
	if ahead := s.api.ahead(); ahead != 2*time.Hour {
		t.Errorf("the clock is ahead by %s", ahead)
	}
	// Certificates are now checked two hours ago, when the client's was not valid yet.
	if response, err := s.client(s.config).Get("https://" + s.address + nodeapi.PathStatus); err == nil {
		response.Body.Close()
		t.Errorf("answered %s", response.Status)
	}
	if err := s.api.setAhead(0); err != nil {
		t.Fatal(err)
	}
	if code, _ := s.do("GET", nodeapi.PathStatus, ""); code != http.StatusOK {
		t.Errorf("after the end: %d", code)
	}
	for _, body := range []string{`{"time":"` + past + `","aheadSeconds":1e18}`, `{"time":"1971-01-01T00:00:00Z","aheadSeconds":-1e8}`} {
		if code, _ := s.do("POST", nodeapi.PathClock, body); code != http.StatusBadRequest {
			t.Errorf("%s: %d", body, code)
		}
	}
}
