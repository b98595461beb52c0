package node

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// ErrNoBuilder is returned for a node that has never built an image with this builder.
var ErrNoBuilder = errors.New("the builder is not on the node")

// Program is a program that the host sends to nodes.
type Program struct {
	// SHA256 is its digest in hexadecimal digits.
	SHA256 string
	Bytes  int64
	// Open opens its content.
	Open func() (io.ReadCloser, error)
}

// Builder returns a connection that carries BuildKit's API. The node gets the program
// first if it does not have it, and starts it if it is not running.
func (c *Client) Builder(ctx context.Context, program Program) (net.Conn, error) {
	conn, err := c.ExistingBuilder(ctx, program)
	if !errors.Is(err, ErrNoBuilder) {
		return conn, err
	}
	if err := c.sendBuilder(ctx, program); err != nil {
		return nil, c.wrap("send the builder to", err)
	}
	return c.ExistingBuilder(ctx, program)
}

// ExistingBuilder is Builder for a node that has the program, which it starts if it is
// not running. For any other node, the error wraps ErrNoBuilder.
func (c *Client) ExistingBuilder(ctx context.Context, program Program) (net.Conn, error) {
	conn, err := c.connectBuilder(ctx, program)
	if err != nil {
		return nil, c.wrap("start the builder on", err)
	}
	return stream{conn}, nil
}

func (c *Client) connectBuilder(ctx context.Context, program Program) (io.ReadWriteCloser, error) {
	return c.upgrade(ctx, c.streams, nodeapi.PathBuilder+"?sha256="+program.SHA256, nodeapi.UpgradeBuilder, nil)
}

func (c *Client) sendBuilder(ctx context.Context, program Program) error {
	return c.upload(ctx, nodeapi.PathBuilderProgram, program)
}

// Programs returns the SHA-256 digests of the programs of container runtimes that the node
// has, by name (package nodeconfig). It fails until the node's own disk is mounted.
func (c *Client) Programs(ctx context.Context) (map[string]string, error) {
	var digests map[string]string
	err := c.call(ctx, http.MethodGet, nodeapi.PathPrograms, nil, &digests)
	return digests, c.wrap("list the programs on", err)
}

// SendProgram installs a program of a container runtime.
func (c *Client) SendProgram(ctx context.Context, name string, program Program) error {
	return c.wrap("send "+name+" to", c.upload(ctx, nodeapi.PathPrograms+"/"+name, program))
}

// upload sends a program.
func (c *Client) upload(ctx context.Context, path string, program Program) error {
	content, err := program.Open()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, c.base+path+"?sha256="+program.SHA256, content)
	if err != nil {
		return err
	}
	r.ContentLength = program.Bytes
	response, err := c.streams.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusNoContent {
		return daemonapi.ReadFailure(response)
	}
	return nil
}

// stream is a connection without addresses and deadlines, which gRPC does not need.
type stream struct{ io.ReadWriteCloser }

func (stream) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (stream) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (stream) SetDeadline(time.Time) error      { return nil }
func (stream) SetReadDeadline(time.Time) error  { return nil }
func (stream) SetWriteDeadline(time.Time) error { return nil }
