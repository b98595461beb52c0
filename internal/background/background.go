// Package background runs a program in the background: without this terminal, and
// only one process of it at a time.
package background

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
)

// poll is how often a program that starts is asked whether it answers.
const poll = 10 * time.Millisecond

// Program is a program that runs in the background. Its processes compete for a lock,
// and only the one that holds it answers.
type Program struct {
	// Command is the program and its arguments.
	Command []string
	// OpenLog opens the file for its output, and creates missing directories.
	OpenLog func() (*os.File, error)
	// Held reports whether a process holds the lock.
	Held func() bool
	// Answers reports whether a process answers.
	Answers func(context.Context) bool
}

// Ensure starts the program unless it answers, and waits until it does. It fails if
// ctx ends before, or if the program cannot run.
func (p Program) Ensure(ctx context.Context) error {
	var started *process
	for {
		if p.Answers(ctx) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// A process that ends at once has lost the race for the lock to another one, or
		// cannot run. In the second case none answers.
		if started == nil {
			var err error
			if started, err = p.start(); err != nil {
				return err
			}
		}
		select {
		case <-started.ended:
			if started.err != nil {
				return started.err
			}
			started = nil
		default:
		}
		if err := pause.For(ctx, poll); err != nil {
			return err
		}
	}
}

type process struct {
	ended chan struct{}
	err   error // why it cannot run, read after ended; nil if another one runs
}

// start runs the program in a session of its own.
func (p Program) start() (*process, error) {
	log, err := p.OpenLog()
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.Command[0], p.Command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	started := &process{ended: make(chan struct{})}
	go func() {
		defer close(started.ended)
		_ = cmd.Wait()
		if !p.Held() {
			started.err = fmt.Errorf("it exited immediately: %s", lastLine(log.Name()))
		}
	}()
	return started, nil
}

// lastLine returns the last line of a log, which usually tells why its program ended.
func lastLine(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[len(lines)-1]
}
