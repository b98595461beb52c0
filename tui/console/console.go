// Package console runs the tasks that take over the user's terminal: a shell in
// a container, attaching to one, and an editor on an object. When a task has
// ended, the terminal is as it was, and no key typed after it is lost.
package console

import (
	"context"
	"fmt"
	"io"

	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/kube/feed"
)

// Client is a cluster's API for a program that has a terminal.
type Client struct{ *kube.Client }

// Connect is kube.New with the tasks of this package.
func Connect(cluster string, kubeconfig []byte, contextName string, ports *kube.Forwarder) (Client, error) {
	client, err := kube.New(cluster, kubeconfig, contextName, ports)
	return Client{client}, err
}

// Interactive carries out a task that takes over the terminal.
func (c Client) Interactive(ctx context.Context, task feed.Task, in io.Reader, out io.Writer) error {
	if len(task.Refs) == 0 {
		return fmt.Errorf("%s: no object given", task.Verb)
	}
	switch ref := task.Refs[0]; task.Verb {
	case feed.VerbEdit:
		return c.edit(ctx, ref, in, out)
	case feed.VerbShell:
		return c.shell(ctx, ref, task.Args["container"], in, out)
	case feed.VerbAttach:
		return c.attach(ctx, ref, task.Args["container"], in, out)
	}
	return fmt.Errorf("%q is not an action that uses the terminal", task.Verb)
}
