package kube

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

type streams struct {
	in       io.Reader
	out, err io.Writer
	sizes    remotecommand.TerminalSizeQueue
}

type execOptions struct {
	container string
	command   []string // nil attaches to what runs already
	tty       bool
}

// stream runs a command in a container, or attaches to it, until it ends.
func (c *Client) stream(ctx context.Context, ref object.Ref, o execOptions, s streams) error {
	request := c.typed.CoreV1().RESTClient().Post().Resource("pods").Namespace(ref.Namespace).Name(ref.Name)
	if o.command == nil {
		request = request.SubResource("attach").VersionedParams(&corev1.PodAttachOptions{
			Container: o.container, Stdin: s.in != nil, Stdout: true, Stderr: !o.tty && s.err != nil, TTY: o.tty,
		}, scheme.ParameterCodec)
	} else {
		request = request.SubResource("exec").VersionedParams(&corev1.PodExecOptions{
			Container: o.container, Command: o.command, Stdin: s.in != nil, Stdout: true, Stderr: !o.tty && s.err != nil, TTY: o.tty,
		}, scheme.ParameterCodec)
	}
	sockets, err := remotecommand.NewWebSocketExecutor(c.config, "GET", request.URL().String())
	if err != nil {
		return err
	}
	spdy, err := remotecommand.NewSPDYExecutor(c.config, "POST", request.URL())
	if err != nil {
		return err
	}
	executor, err := remotecommand.NewFallbackExecutor(sockets, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return err
	}
	options := remotecommand.StreamOptions{Stdin: s.in, Stdout: s.out, Tty: o.tty, TerminalSizeQueue: s.sizes}
	if !o.tty {
		options.Stderr = s.err
	}
	return executor.StreamWithContext(ctx, options)
}

// shells are tried in this order.
var shells = []string{"sh", "-c", "command -v bash >/dev/null && exec bash; exec sh"}

// Interactive carries out a task that needs the terminal for itself.
func (c *Client) Interactive(ctx context.Context, task feed.Task, in io.Reader, out io.Writer) error {
	if len(task.Refs) == 0 {
		return fmt.Errorf("%s: of what?", task.Verb)
	}
	switch ref := task.Refs[0]; task.Verb {
	case feed.VerbEdit:
		return c.edit(ctx, ref, in, out)
	case feed.VerbShell:
		return c.terminal(ctx, ref, execOptions{container: task.Args["container"], command: shells, tty: true}, in, out)
	case feed.VerbAttach:
		fmt.Fprintf(out, "attached to %s; press enter if nothing shows\r\n", ref)
		return c.terminal(ctx, ref, execOptions{container: task.Args["container"], tty: true}, in, out)
	}
	return fmt.Errorf("%s needs no terminal", task.Verb)
}

// terminal connects our terminal to a container's.
func (c *Client) terminal(ctx context.Context, ref object.Ref, o execOptions, in io.Reader, out io.Writer) error {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return fmt.Errorf("%s: this is no terminal", ref)
	}
	old, err := term.MakeRaw(int(file.Fd()))
	if err != nil {
		return fmt.Errorf("hand over the terminal: %w", err)
	}
	defer func() { _ = term.Restore(int(file.Fd()), old) }()
	sizes := newSizes(int(file.Fd()))
	defer sizes.stop()
	return c.stream(ctx, ref, o, streams{in: file, out: out, sizes: sizes})
}

// sizes tells the container how large our terminal is.
type sizes struct {
	fd      int
	changed chan os.Signal
	done    chan struct{}
}

func newSizes(fd int) *sizes {
	s := &sizes{fd: fd, changed: make(chan os.Signal, 1), done: make(chan struct{})}
	s.changed <- syscall.SIGWINCH // the first size
	signal.Notify(s.changed, syscall.SIGWINCH)
	return s
}

func (s *sizes) stop() {
	signal.Stop(s.changed)
	close(s.done)
}

// Next is remotecommand.TerminalSizeQueue's.
func (s *sizes) Next() *remotecommand.TerminalSize {
	select {
	case <-s.done:
		return nil
	case <-s.changed:
	}
	width, height, err := term.GetSize(s.fd)
	if err != nil {
		return nil
	}
	return &remotecommand.TerminalSize{Width: uint16(width), Height: uint16(height)}
}
