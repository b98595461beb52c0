package child

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The process is this test program with the variable set to what it does.
const behaviour = "SKIFF_TEST_LOG_CHILD"

func TestMain(m *testing.M) {
	switch mode, dir, _ := strings.Cut(os.Getenv(behaviour), " "); mode {
	case "":
		os.Exit(m.Run())
	case "serve":
		serve(dir)
	case "damaged":
		// As the library: it ends when it opens a store that it cannot read.
		if _, err := os.Stat(filepath.Join(dir, "bad")); err == nil {
			fmt.Fprintln(os.Stderr, `{"level":"panic","msg":"FATAL: cannot read parts.json"}`)
			os.Exit(2)
		}
		serve(dir)
	case "crash":
		fmt.Println(Ready)
		os.Exit(3)
	}
}

// serve answers with its path until its standard input ends, and then notes that it
// ended in an orderly way.
func serve(dir string) {
	listener, err := net.FileListener(os.NewFile(ListenerFD, ""))
	if err != nil {
		os.Exit(4)
	}
	_ = os.MkdirAll(dir, 0o700)
	fmt.Println(Ready)
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			fmt.Fprint(w, r.URL.Path)
		}))
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = os.WriteFile(filepath.Join(dir, "ended"), nil, 0o600)
	os.Exit(0)
}

func start(t *testing.T, mode string) (c *Child, stop func()) {
	t.Helper()
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv(behaviour, mode+" "+store)
	c = New(Config{
		Command: func() []string { return []string{os.Args[0]} },
		Store:   store, Socket: filepath.Join(dir, "s"), Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return c, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func ready(t *testing.T, c *Child) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestRequestsReachTheProcessAndItEndsInAnOrderlyWay(t *testing.T) {
	c, stop := start(t, "serve")
	ready(t, c)
	answer := newRecorder()
	request, _ := http.NewRequest(http.MethodGet, "http://x/records/logs/select/logsql/query", nil)
	Handler(c.Socket, "/records/logs").ServeHTTP(answer, request)
	if answer.text.String() != "/select/logsql/query" || answer.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%q, %v", answer.text.String(), answer.header)
	}
	stop()
	if _, err := os.Stat(filepath.Join(c.Store, "ended")); err != nil {
		t.Error(err)
	}
	if c.Problem() != "" {
		t.Errorf("problem %q", c.Problem())
	}
}

func TestADamagedStoreIsSetAsideAndANewOneBegun(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	for _, name := range []string{store, store + damagedSuffix} {
		if err := os.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{filepath.Join(store, "bad"), filepath.Join(store+damagedSuffix, "older")} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(behaviour, "damaged "+store)
	c := New(Config{Command: func() []string { return []string{os.Args[0]} }, Store: store, Socket: filepath.Join(dir, "s"), Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	ready(t, c)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(store+damagedSuffix, "bad")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(store+damagedSuffix, "older")); err == nil {
		t.Error("an earlier damaged store stays")
	}
	if problem := c.Problem(); !strings.Contains(problem, "was damaged and was set aside at "+store+damagedSuffix) || !strings.Contains(problem, "cannot read parts.json") {
		t.Errorf("problem %q", problem)
	}
}

func TestADamagedStoreOfAFullDiskStays(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(store, 0o700); err != nil {
		t.Fatal(err)
	}
	c := New(Config{Store: store, MinFree: 1 << 62, Log: slog.New(slog.DiscardHandler)})
	if c.setAside(&end{reason: "no space left on device"}, 1) {
		t.Error("set aside")
	}
	if _, err := os.Stat(store); err != nil {
		t.Error(err)
	}
}

func TestAProcessThatEndsIsStartedAgain(t *testing.T) {
	c, stop := start(t, "crash")
	ready(t, c)
	for end := time.Now().Add(time.Minute); !strings.Contains(c.Problem(), "is being restarted"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("problem %q", c.Problem())
		}
	}
	stop()
	if _, err := os.Stat(c.Store); err != nil {
		t.Errorf("a store without damage: %v", err)
	}
}

type recorder struct {
	header http.Header
	text   strings.Builder
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(p []byte) (int, error) { return r.text.Write(p) }
func (r *recorder) WriteHeader(int)             {}
