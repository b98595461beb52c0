// Package terminal runs a program in a pseudo-terminal and emulates its screen,
// so that tests can press keys and read what a user sees.
package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
)

// Terminal is a running program and its screen.
type Terminal struct {
	// Process is the process of the program.
	Process *os.Process

	cmd    *exec.Cmd
	pty    *os.File
	screen vt10x.Terminal
	closed chan struct{}

	mu    sync.Mutex // guards marks
	marks []mark
}

// mark waits for the next output that contains text.
type mark struct {
	text []byte
	seen chan time.Time
}

// Start runs cmd in a terminal of the given size in cells.
func Start(cmd *exec.Cmd, columns, rows int) (*Terminal, error) {
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: uint16(rows), Cols: uint16(columns)})
	if err != nil {
		return nil, fmt.Errorf("start in a terminal: %w", err)
	}
	t := &Terminal{Process: cmd.Process, cmd: cmd, pty: file, screen: vt10x.New(vt10x.WithSize(columns, rows), vt10x.WithWriter(file)), closed: make(chan struct{})}
	go t.read()
	return t, nil
}

func (t *Terminal) read() {
	defer close(t.closed)
	buffer := make([]byte, 64<<10)
	for {
		n, err := t.pty.Read(buffer)
		now := time.Now()
		if n > 0 {
			_, _ = t.screen.Write(buffer[:n])
			t.note(buffer[:n], now)
		}
		if err != nil {
			return
		}
	}
}

func (t *Terminal) note(output []byte, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := t.marks[:0]
	for _, m := range t.marks {
		if bytes.Contains(output, m.text) {
			m.seen <- now
		} else {
			rest = append(rest, m)
		}
	}
	t.marks = rest
}

// Next returns a channel that receives the time of the next output that contains
// text.
func (t *Terminal) Next(text string) <-chan time.Time {
	seen := make(chan time.Time, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marks = append(t.marks, mark{[]byte(text), seen})
	return seen
}

// Text returns the content of the screen.
func (t *Terminal) Text() string { return t.screen.String() }

// Send types text. Other keys are sent as their escape sequences.
func (t *Terminal) Send(text string) error {
	_, err := t.pty.WriteString(text)
	return err
}

// Resize changes the size of the window.
func (t *Terminal) Resize(columns, rows int) error {
	t.screen.Resize(columns, rows)
	return pty.Setsize(t.pty, &pty.Winsize{Rows: uint16(rows), Cols: uint16(columns)})
}

// Await waits until all texts are on the screen.
func (t *Terminal) Await(ctx context.Context, texts ...string) error {
	for {
		screen := t.Text()
		missing := ""
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				missing = text
				break
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no %q on the screen:\n%s", missing, screen)
		case <-t.closed:
			return fmt.Errorf("the program exited; no %q on the screen:\n%s", missing, screen)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// AwaitGone waits until text is not on the screen.
func (t *Terminal) AwaitGone(ctx context.Context, text string) error {
	for strings.Contains(t.Text(), text) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%q is still on the screen:\n%s", text, t.Text())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Wait waits for the program to exit.
func (t *Terminal) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return errors.New("the program is still running")
	case <-t.closed:
		return t.cmd.Wait()
	}
}

// Close kills the program.
func (t *Terminal) Close() error {
	_ = t.Process.Kill()
	err := t.pty.Close()
	<-t.closed
	_ = t.cmd.Wait()
	return err
}
