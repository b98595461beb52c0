package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/terminal"
	"github.com/skiff-dev/skiff/vm/daemon/client"
)

// Run runs a program on a node with the given streams. Its exit code is returned
// as a cli.ExitCode.
func Run(ctx context.Context, s cli.Streams, n *client.Node, args []string) error {
	request := nodeapi.ExecRequest{Args: args}
	streams := client.Streams{Stdin: s.In, Stdout: s.Out, Stderr: s.Err}
	if cli.IsTerminal(s.In) && cli.IsTerminal(s.Out) {
		restore, err := rawTerminal(s, &request, &streams)
		if err != nil {
			return err
		}
		defer restore()
	}
	code, err := n.Exec(ctx, request, streams)
	if err != nil {
		return err
	}
	if code != 0 {
		return cli.ExitCode(code)
	}
	return nil
}

// rawTerminal connects the terminal to the program: it receives every key and
// each new size.
func rawTerminal(s cli.Streams, request *nodeapi.ExecRequest, streams *client.Streams) (restore func(), err error) {
	in, out := int(s.In.(*os.File).Fd()), int(s.Out.(*os.File).Fd())
	request.TTY = true
	request.Env = []string{"TERM=" + os.Getenv("TERM")}
	if columns, rows, err := term.GetSize(out); err == nil {
		request.Rows, request.Columns = uint16(rows), uint16(columns)
	}
	old, err := term.MakeRaw(in)
	if err != nil {
		return nil, fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	// A read that is still blocked when the program exits would swallow a key
	// press meant for the next program, such as the dashboard.
	typed, err := terminal.Open(s.In.(*os.File))
	if err != nil {
		return nil, errors.Join(err, term.Restore(in, old))
	}
	streams.Stdin = typed
	sizes, stop := watchSize(out)
	streams.Resize = sizes
	return func() {
		stop()
		_ = typed.Close()
		_ = term.Restore(in, old)
	}, nil
}

// watchSize sends the terminal's size after each change until stop is called.
func watchSize(terminal int) (sizes chan client.Size, stop func()) {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	sizes, done := make(chan client.Size), make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-resized:
			}
			columns, rows, err := term.GetSize(terminal)
			if err != nil {
				continue
			}
			select {
			case <-done:
				return
			case sizes <- client.Size{Rows: uint16(rows), Columns: uint16(columns)}:
			}
		}
	}()
	return sizes, func() {
		signal.Stop(resized)
		close(done)
	}
}
