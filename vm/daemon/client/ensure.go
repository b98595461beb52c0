package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/owner"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// startLimit bounds how long a daemon takes until it answers.
const startLimit = 20 * time.Second

// maxLog is how large the daemon's log may be, in bytes, when a new daemon starts.
const maxLog = 4 << 20

// ensure waits until a daemon answers. It starts one if none is running.
func (c *Client) ensure(ctx context.Context) error {
	if len(c.config.Command) == 0 {
		return errors.New("start the daemon: no command")
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var started *process
	for {
		conn, err := c.dial(ctx)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil {
			return c.notStarted(ctx.Err())
		}
		// A daemon that ends at once has lost the race for the lock to another one, or
		// cannot run. In the second case none answers.
		if started == nil {
			if started, err = c.start(); err != nil {
				return err
			}
		}
		select {
		case <-started.ended:
			if errors.Is(started.err, errCannotServe) {
				return c.notStarted(started.err)
			}
			started = nil
		default:
		}
		if err := pause.For(ctx, 10*time.Millisecond); err != nil {
			return c.notStarted(err)
		}
	}
}

func (c *Client) notStarted(err error) error {
	return &daemonapi.Failure{
		Cause: fmt.Sprintf("the daemon of %s failed to start: %v", c.config.Name, err),
		Log:   c.dir().Log(),
	}
}

// errCannotServe means that the daemon exited and no other has the lock.
var errCannotServe = errors.New("it exited immediately")

type process struct {
	ended chan struct{}
	err   error // read after ended
}

// start runs the daemon in a session of its own, without this terminal.
func (c *Client) start() (*process, error) {
	if err := owner.MkdirAll(filepath.Dir(string(c.dir())), 0o700); err != nil {
		return nil, fmt.Errorf("create the directory of all clusters: %w", err)
	}
	if err := os.MkdirAll(string(c.dir()), 0o700); err != nil {
		return nil, fmt.Errorf("create the cluster's directory: %w", err)
	}
	log, err := c.openLog()
	if err != nil {
		return nil, fmt.Errorf("open the daemon's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(c.config.Command[0], c.config.Command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the daemon: %w", err)
	}
	p := &process{ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
		// The log tells why, unless another daemon has the lock.
		if !c.dir().Held() {
			p.err = fmt.Errorf("%w: %s", errCannotServe, c.lastLine())
		}
	}()
	return p, nil
}

func (c *Client) openLog() (*os.File, error) {
	path := c.dir().Log()
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

func (c *Client) lastLine() string {
	content, err := os.ReadFile(c.dir().Log())
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[len(lines)-1]
}
