package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/manifest/manifesttest"
	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"skiff": main})
}

// TestScripts runs the program: everything about it that needs no machine.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("SKIFF_HOME", env.WorkDir+"/skiff-home")
			env.Setenv("SKIFF_IMAGE_DIR", env.WorkDir+"/image")
			env.Setenv("KUBECONFIG", "")
			env.Setenv("ARCH", runtime.GOARCH)
			env.Setenv("FREE", fmt.Sprint(runtest.FreePort(t)))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"listen":    listen,
			"exits":     exits,
			"oneline":   oneline,
			"explained": explained,
			"archive":   archiveFile,
			"truncate":  truncate,
			"nodeimage": nodeImageFiles,
			"serve":     serveStatus,
		},
	})
}

// listen VAR listens on a free port of 127.0.0.1 until the script ends.
func listen(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { listener.Close() })
	ts.Setenv(args[0], fmt.Sprint(listener.Addr().(*net.TCPAddr).Port))
}

// exits CODE ARGS... runs skiff, which must exit with CODE.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	skiff, err := exec.LookPath("skiff") // whatever PATH the script has set
	ts.Check(err)
	err = ts.Exec(skiff, args[1:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("skiff %v: exit code %d, want %s", args[1:], code, args[0])
	}
}

// oneline checks that the last skiff printed nothing to stdout and, for each error,
// one line to stderr that starts with "skiff: ".
func oneline(ts *testscript.TestScript, _ bool, _ []string) {
	for _, line := range complaints(ts) {
		if !strings.HasPrefix(line, "skiff: ") {
			ts.Fatalf("not one line: %q", line)
		}
	}
}

// explained is like oneline for one error, with indented hints below.
func explained(ts *testscript.TestScript, _ bool, _ []string) {
	for i, line := range complaints(ts) {
		if i == 0 != strings.HasPrefix(line, "skiff: ") || i > 0 && !strings.HasPrefix(line, "  ") {
			ts.Fatalf("not one line and its hints: %q", line)
		}
	}
}

func complaints(ts *testscript.TestScript) []string {
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("printed on stdout: %q", out)
	}
	return strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
}

// archive FILE NAME ARCH writes an OCI layout with one image.
func archiveFile(ts *testscript.TestScript, _ bool, args []string) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	file := func(name string, content []byte) {
		ts.Check(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}))
		_, err := w.Write(content)
		ts.Check(err)
	}
	blob := func(content []byte) map[string]any {
		sum := fmt.Sprintf("%x", sha256.Sum256(content))
		file("blobs/sha256/"+sum, content)
		return map[string]any{"digest": "sha256:" + sum, "size": len(content)}
	}
	encode := func(v any) []byte {
		content, err := json.Marshal(v)
		ts.Check(err)
		return content
	}
	layer := blob(bytes.Repeat([]byte("layer"), 2000))
	config := blob(encode(map[string]string{"os": "linux", "architecture": args[2]}))
	image := blob(encode(map[string]any{"config": config, "layers": []any{layer}}))
	image["annotations"] = map[string]string{"io.containerd.image.name": args[1]}
	file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	file("index.json", encode(map[string]any{"manifests": []any{image}}))
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o644))
}

// truncate FILE keeps the first half of a file.
func truncate(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	info, err := os.Stat(path)
	ts.Check(err)
	ts.Check(os.Truncate(path, info.Size()/2))
}

// serve NAME FILE serves the content of a file as the status of a cluster, like its
// daemon, until the script ends. All other requests fail.
func serveStatus(ts *testscript.TestScript, _ bool, args []string) {
	status := []byte(ts.ReadFile(args[1]))
	dir := home.Home(ts.Getenv("SKIFF_HOME")).Cluster(args[0])
	ts.Check(os.MkdirAll(string(dir), 0o700))
	listener, err := net.Listen("unix", dir.Socket())
	ts.Check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+daemonapi.PathStatus, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(status) })
	server := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	ts.Defer(func() {
		_ = server.Close()
		<-done
	})
}

// nodeimage [RELEASE] writes something that looks like a node image for this host to
// where skiff looks for one, or for one of another version of Kubernetes.
func nodeImageFiles(ts *testscript.TestScript, _ bool, args []string) {
	dir, version := ts.Getenv("SKIFF_IMAGE_DIR"), "v1.37.2"
	if len(args) > 0 {
		version = args[0]
		dir = filepath.Join(dir, manifest.Minor(version))
	}
	ts.Check(os.MkdirAll(dir, 0o755))
	_, err := manifesttest.WriteFor(dir, runtime.GOARCH, version)
	ts.Check(err)
}
