// Package child starts the process that keeps a cluster's logs (package logs), starts
// it again when it ends, and sets a store aside that is damaged.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/internal/unixsocket"
)

const (
	// Ready is what the process writes to its standard output once the store is open.
	Ready = "ready"
	// PathDrain answers a POST once everything that nodes have is in the store.
	PathDrain = "/drain"
	// ListenerFD is the descriptor of the process on which queries arrive.
	ListenerFD = 3
	// endLimit is how long the process may take to end: it writes to disk what it has.
	endLimit = 20 * time.Second
	// firstPause and lastPause bound the pause between two starts.
	firstPause, lastPause = 500 * time.Millisecond, 30 * time.Second
	// healthyAfter is how long the process must have run for its earlier ends not to count.
	healthyAfter = time.Minute
	// crashes is the number of ends in a row after which an open store counts as damaged.
	crashes = 3
	// damagedSuffix ends the name of a store that was set aside; only the last one is kept.
	damagedSuffix = ".damaged"
	// maxReason bounds what is remembered of why the process ended.
	maxReason = 400
	// maxMessage bounds a line of its standard error.
	maxMessage = 1 << 20
)

// Config of a Child.
type Config struct {
	// Command returns the program and its arguments: logs.Run with the listener at
	// ListenerFD. It is called before every start.
	Command func() []string
	// Store is the directory that is set aside if it is damaged, none if it is empty;
	// MinFree is how many bytes of its disk the process needs to write.
	Store   string
	MinFree uint64
	// Socket is where queries arrive.
	Socket string
	Log    *slog.Logger
}

// Child is the process.
type Child struct {
	Config
	ready     chan struct{} // closed once the process has opened the store
	readyOnce sync.Once

	mu      sync.Mutex // guards problem
	problem string
}

// New returns a Child. Run starts it.
func New(config Config) *Child { return &Child{Config: config, ready: make(chan struct{})} }

// Problem returns what is wrong, in one line for users; "" if nothing is.
func (c *Child) Problem() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.problem
}

func (c *Child) setProblem(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problem = fmt.Sprintf(format, args...)
}

// Run keeps the process running until ctx ends, and then waits until it has written
// everything. The socket exists meanwhile, so queries wait while it starts.
func (c *Child) Run(ctx context.Context) error {
	listener, err := unixsocket.Listen(c.Socket)
	if err != nil {
		return fmt.Errorf("serve the log store: %w", err)
	}
	defer func() { _ = listener.Close() }()
	file, err := listener.(*net.UnixListener).File()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	failed := 0
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		began := time.Now()
		e := c.once(ctx, file)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > healthyAfter {
			failed, wait = 0, firstPause
		}
		failed++
		c.Log.Error("the process of the log store ended, restarting it", "error", e)
		if !c.setAside(e, failed) {
			c.setProblem("The process of the log store ended and is being restarted: %v", e)
		} else {
			failed = 0
		}
		if pause.For(ctx, wait) != nil {
			return nil
		}
	}
}

// end is how the process ended.
type end struct {
	err    error
	opened bool
	reason string // its last message
}

// Error returns how the process ended, in one line.
func (e *end) Error() string {
	if e.reason != "" {
		return e.reason
	}
	return e.err.Error()
}

// once runs the process until it ends or ctx does.
func (c *Child) once(ctx context.Context, listener *os.File) *end {
	command := c.Command()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.ExtraFiles = []*os.File{listener}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's signals are for its parent
	cmd.Dir = "/"
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	stderr, err3 := cmd.StderrPipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		return &end{err: err}
	}
	if err := cmd.Start(); err != nil {
		return &end{err: err}
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = stdin.Close()
		select {
		case <-ended:
		case <-time.After(endLimit):
			_ = cmd.Process.Kill()
		}
	})
	defer stop()
	e := &end{}
	var reading sync.WaitGroup
	reading.Go(func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		if e.opened = strings.TrimSpace(line) == Ready; e.opened {
			c.setReady()
		}
		_, _ = io.Copy(io.Discard, stdout)
	})
	reading.Go(func() { e.reason = c.forward(stderr) })
	reading.Wait()
	e.err = cmd.Wait()
	close(ended)
	if e.err == nil {
		e.err = errors.New("exit status 0")
	}
	return e
}

func (c *Child) setReady() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problem = damage(c.problem)
	c.readyOnce.Do(func() { close(c.ready) })
}

// damageNote begins a problem that stays until the daemon restarts.
const damageNote = "The log store was damaged"

// damage returns a problem that stays after the next start.
func damage(problem string) string {
	if strings.HasPrefix(problem, damageNote) {
		return problem
	}
	return ""
}

// forward writes what the process reports to the log, and returns why it ended.
func (c *Child) forward(stderr io.Reader) string {
	reason := ""
	lines := bufio.NewScanner(stderr)
	for lines.Buffer(nil, maxMessage); ; {
		if !lines.Scan() {
			_, _ = io.Copy(io.Discard, stderr)
			return reason
		}
		text := lines.Text()
		var line struct{ Level, Msg, Caller string }
		switch err := json.Unmarshal([]byte(text), &line); {
		case err != nil || line.Msg == "":
			if strings.HasPrefix(text, "panic: ") && reason == "" {
				reason = text[:min(len(text), maxReason)]
			}
			c.Log.Debug("log store", "line", text[:min(len(text), maxReason)])
		default:
			line.Msg = line.Msg[:min(len(line.Msg), maxReason)]
			level := slog.LevelWarn
			switch strings.ToUpper(line.Level) {
			case "INFO":
				level = slog.LevelInfo
			case "PANIC", "FATAL":
				level, reason = slog.LevelError, line.Msg
			case "ERROR":
				level = slog.LevelError
			}
			c.Log.Log(context.Background(), level, "log store: "+line.Msg)
		}
	}
}

// setAside renames a damaged store, so that the next process begins with an empty one.
// A store that was never opened counts as damaged, unless the disk is full.
func (c *Child) setAside(e *end, failed int) bool {
	if c.Store == "" || e.opened && (failed < crashes || e.reason == "") || !e.opened && e.reason == "" {
		return false
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(c.Store), &disk); err != nil || disk.Bavail*uint64(disk.Bsize) < c.MinFree {
		return false
	}
	to := c.Store + damagedSuffix
	if err := errors.Join(os.RemoveAll(to), os.Rename(c.Store, to)); err != nil {
		c.Log.Error("set the damaged log store aside", "error", err)
		return false
	}
	c.Log.Error("the log store was damaged and set aside", "to", to, "error", e)
	c.setProblem("%s and was set aside at %s; a new one was created: %v", damageNote, to, e)
	return true
}

// WaitReady waits until the process has opened the store.
func (c *Child) WaitReady(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		if problem := c.Problem(); problem != "" {
			return errors.New(problem)
		}
		return ctx.Err()
	}
}

// Drain waits until everything that nodes have is in the store, or until ctx ends.
func (c *Child) Drain(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://logs"+PathDrain, nil)
	if err != nil {
		return err
	}
	response, err := Transport(c.Socket).RoundTrip(request)
	if err != nil {
		return fmt.Errorf("wait for the last logs: %w", err)
	}
	return response.Body.Close()
}

// Transport sends requests to a unix socket, each on a connection of its own.
func Transport(socket string) http.RoundTripper {
	t := KeptTransport(socket)
	t.DisableKeepAlives = true
	return t
}

// KeptTransport sends requests to a unix socket and keeps its connections.
func KeptTransport(socket string) *http.Transport {
	return &http.Transport{
		IdleConnTimeout: time.Minute,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", socket)
		},
	}
}

// Handler passes requests on to the process, without prefix at the beginning of their
// path.
func Handler(socket, prefix string) http.Handler {
	return http.StripPrefix(prefix, &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "logs"}) },
		Transport:     Transport(socket),
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			// The library lets pages of any origin read its tails.
			r.Header.Del("Access-Control-Allow-Origin")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, fmt.Sprintf("the log store does not answer: %v", err), http.StatusServiceUnavailable)
		},
	})
}
