// Package client is how the command line speaks to a cluster's daemon, and what
// it can still do when no daemon lives.
package client

import (
	"context"
	"errors"
	"io"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// Sentinels.
var (
	// ErrNoDaemon: no daemon serves the cluster.
	ErrNoDaemon = errors.New("the cluster's daemon does not run")
	// ErrNoCluster: nothing of the cluster exists.
	ErrNoCluster = errors.New("no such cluster")
)

// Config of a Client.
type Config struct {
	Home home.Home
	// Name of the cluster.
	Name string
	// ImageDir holds the node image.
	ImageDir string
	// Command is the program and arguments that run the daemon in the
	// foreground: daemon.Run with the same Home, Name and ImageDir.
	Command []string
}

// Client speaks to one cluster's daemon. Errors that are *daemonapi.Failure
// carry a hint for the person; with Invalid set nothing was changed and the
// input was at fault.
type Client struct{ config Config }

// New returns a Client; it touches nothing.
func New(config Config) *Client { return &Client{config} }

// List are all clusters on disk with their status; without a daemon the status
// is read from the cluster's files.
func List(ctx context.Context, h home.Home) ([]daemonapi.ClusterStatus, error) {
	return nil, errors.ErrUnsupported
}

// Check finds what is wrong with spec on this host before anything is changed.
// Its error is a *daemonapi.Failure with Invalid set, or several joined
// (errors.Join), one for each fault.
func (c *Client) Check(ctx context.Context, spec cluster.Spec) error { return errors.ErrUnsupported }

// Plan is what Apply would do; empty when the cluster is as spec wants it.
func (c *Client) Plan(ctx context.Context, spec cluster.Spec) ([]cluster.Step, error) {
	return nil, errors.ErrUnsupported
}

// Spec is the one that the cluster was last brought to; ErrNoCluster if none.
func (c *Client) Spec() (cluster.Spec, error) { return cluster.Spec{}, errors.ErrUnsupported }

// Apply starts the daemon if none lives and brings the cluster to spec. It
// calls event for each line of progress, the last one included, from one
// goroutine. When ctx ends, Apply returns and the work goes on.
func (c *Client) Apply(ctx context.Context, spec cluster.Spec, event func(daemonapi.Event)) error {
	return errors.ErrUnsupported
}

// Down removes the cluster and all that it left, with or without a daemon.
// Removing what does not exist does nothing.
func (c *Client) Down(ctx context.Context, event func(daemonapi.Event)) error {
	return errors.ErrUnsupported
}

// Status is the daemon's view, or what the files say when no daemon lives;
// ErrNoCluster if there is nothing at all.
func (c *Client) Status(ctx context.Context) (daemonapi.ClusterStatus, error) {
	return daemonapi.ClusterStatus{}, errors.ErrUnsupported
}

// Kubeconfig is the admin's, in YAML, with context skiff-NAME. It needs no
// daemon.
func (c *Client) Kubeconfig(ctx context.Context) ([]byte, error) { return nil, errors.ErrUnsupported }

// ConsoleLog is the path of a node's serial console log on the host.
func (c *Client) ConsoleLog(node string) string {
	return c.config.Home.Cluster(c.config.Name).Console(node)
}

// Node speaks to the node API of one node through the daemon.
func (c *Client) Node(name string) *Node { return &Node{client: c, name: name} }

// Node is one node of a cluster.
type Node struct {
	client *Client
	name   string
}

// Status is what the node says of itself.
func (n *Node) Status(ctx context.Context) (nodeapi.Status, error) {
	return nodeapi.Status{}, errors.ErrUnsupported
}

// Logs streams one log of the node: a program of its Status, "kernel" or
// "init". tail is the number of last lines, 0 for all. The caller closes it.
func (n *Node) Logs(ctx context.Context, source string, tail int, follow bool) (io.ReadCloser, error) {
	return nil, errors.ErrUnsupported
}

// Size of a terminal.
type Size struct{ Rows, Columns uint16 }

// Streams of a program in a node. Nil streams are empty or discarded; Resize
// may be nil.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan Size
}

// Exec runs a program in the node and returns its exit code. An error means
// that it could not be run or that the connection broke.
func (n *Node) Exec(ctx context.Context, request nodeapi.ExecRequest, streams Streams) (int, error) {
	return 0, errors.ErrUnsupported
}
