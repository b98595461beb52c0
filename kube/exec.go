package kube

import (
	"context"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/skiff-dev/skiff/kube/object"
)

// Streams are the local ends of a process in a container. Err is unused with a
// TTY, whose output is a single stream.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Sizes    remotecommand.TerminalSizeQueue
}

// ExecOptions select a container and what to run in it.
type ExecOptions struct {
	Container string
	Command   []string // nil attaches to the main process
	TTY       bool
	NoStdin   bool // do not connect Streams.In
}

// Exec runs a command in a container, or attaches to its main process, until
// that ends or ctx is done.
func (c *Client) Exec(ctx context.Context, ref object.Ref, o ExecOptions, s Streams) error {
	if o.NoStdin {
		s.In = nil
	}
	if o.TTY {
		s.Err = nil
	}
	request := c.typed.CoreV1().RESTClient().Post().Resource("pods").Namespace(ref.Namespace).Name(ref.Name)
	if o.Command == nil {
		request = request.SubResource("attach").VersionedParams(&corev1.PodAttachOptions{
			Container: o.Container, Stdin: s.In != nil, Stdout: true, Stderr: s.Err != nil, TTY: o.TTY,
		}, scheme.ParameterCodec)
	} else {
		request = request.SubResource("exec").VersionedParams(&corev1.PodExecOptions{
			Container: o.Container, Command: o.Command, Stdin: s.In != nil, Stdout: true, Stderr: s.Err != nil, TTY: o.TTY,
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
	return executor.StreamWithContext(ctx, remotecommand.StreamOptions{
		Stdin: s.In, Stdout: s.Out, Stderr: s.Err, Tty: o.TTY, TerminalSizeQueue: s.Sizes,
	})
}

// Container returns a container of a pod by name, or the first one if the name
// is empty.
func (c *Client) Container(ctx context.Context, pod object.Ref, name string) (corev1.Container, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	p, err := c.typed.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil {
		return corev1.Container{}, err
	}
	i := slices.IndexFunc(p.Spec.Containers, func(c corev1.Container) bool { return name == "" || c.Name == name })
	if i < 0 {
		return corev1.Container{}, fmt.Errorf("%s has no container named %q", pod, name)
	}
	return p.Spec.Containers[i], nil
}
