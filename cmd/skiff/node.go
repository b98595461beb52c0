package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/terminal"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// observe opens the cluster that name means and asks how it is.
func (a *app) observe(ctx context.Context, name string) (*client.Client, daemonapi.ClusterStatus, error) {
	c, dir, err := a.open(name)
	if err != nil {
		return nil, daemonapi.ClusterStatus{}, err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return nil, status, about(dir.Name(), err)
	}
	return c, status, nil
}

// nodes opens the cluster that name means and lists its nodes, of which
// something is to be asked: those of a paused cluster would not answer.
func (a *app) nodes(ctx context.Context, name string) (*client.Client, []string, error) {
	c, status, err := a.observe(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if status.Phase == "paused" {
		return nil, nil, daemonapi.Paused(status.Name)
	}
	return c, nodeNames(status), nil
}

func nodeNames(status daemonapi.ClusterStatus) []string {
	var names []string
	for _, n := range status.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// node opens the node called name.
func (a *app) node(ctx context.Context, clusterName, name string) (*client.Client, *client.Node, error) {
	c, names, err := a.nodes(ctx, clusterName)
	if err != nil {
		return nil, nil, err
	}
	if err := checkNode(name, names); err != nil {
		return nil, nil, err
	}
	return c, c.Node(name), nil
}

func checkNode(name string, names []string) error {
	if slices.Contains(names, name) {
		return nil
	}
	hint := "choose one of " + strings.Join(names, ", ")
	if meant := nearest.Of(name, names); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	return invalid(hint, "no node named %q", name)
}

// splitCommand takes "NODE [-- COMMAND…]" apart.
func splitCommand(cmd *cobra.Command, args []string) (node string, command []string, err error) {
	dash := cmd.ArgsLenAtDash()
	switch {
	case len(args) == 0 || dash == 0:
		return "", nil, invalid("usage: "+cmd.UseLine(), "%s: no node given", cmd.Name())
	case len(args) > 1 && dash != 1:
		return "", nil, invalid("usage: "+cmd.UseLine(), "%s: put -- before the command", cmd.Name())
	}
	return args[0], args[1:], nil
}

// run runs a program on a node with our own streams; its exit code becomes ours.
func (a *app) run(ctx context.Context, n *client.Node, args []string) error {
	request := nodeapi.ExecRequest{Args: args}
	streams := client.Streams{Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr}
	if isTerminal(a.stdin) && isTerminal(a.stdout) {
		restore, err := a.rawTerminal(&request, &streams)
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
		return exitCode(code)
	}
	return nil
}

// rawTerminal hands our terminal over to the program: every key reaches it, and
// it learns of each new size.
func (a *app) rawTerminal(request *nodeapi.ExecRequest, streams *client.Streams) (restore func(), err error) {
	in, out := int(a.stdin.(*os.File).Fd()), int(a.stdout.(*os.File).Fd())
	request.TTY = true
	request.Env = []string{"TERM=" + os.Getenv("TERM")}
	if columns, rows, err := term.GetSize(out); err == nil {
		request.Rows, request.Columns = uint16(rows), uint16(columns)
	}
	old, err := term.MakeRaw(in)
	if err != nil {
		return nil, fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	// Whoever still read when the program has ended would take a key that is
	// meant for the next one, which in the dashboard is the dashboard.
	typed, err := terminal.Open(a.stdin.(*os.File))
	if err != nil {
		return nil, errors.Join(err, term.Restore(in, old))
	}
	streams.Stdin = typed
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
			columns, rows, err := term.GetSize(out)
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
	streams.Resize = sizes
	return func() {
		signal.Stop(resized)
		close(done)
		_ = typed.Close()
		_ = term.Restore(in, old)
	}, nil
}

// capture runs a program on the node called name and returns what it printed.
// The error carries what it said on standard error.
func capture(ctx context.Context, c *client.Client, name string, stdin io.Reader, args ...string) (string, error) {
	var out, failure strings.Builder
	code, err := c.Node(name).Exec(ctx, nodeapi.ExecRequest{Args: args}, client.Streams{
		Stdin: stdin, Stdout: &limited{&out}, Stderr: &limited{&failure},
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("%s on node %s failed with exit code %d: %s", args[0], name, code, lastLine(failure.String()))
	}
	return out.String(), err
}

// maxCapture bounds what a program on a node can make us keep, in bytes.
const maxCapture = 16 << 20

type limited struct{ to *strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	l.to.Write(p[:min(len(p), max(0, maxCapture-l.to.Len()))])
	return len(p), nil
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
