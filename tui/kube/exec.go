package kube

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

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
	deaf      bool // it has no standard input
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
