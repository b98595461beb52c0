// Package node is the client of a node's API (package nodeapi). The daemon uses
// it over mutual TLS, the command line through the daemon's socket. Every call
// that is not a stream has a time limit, so that a node that accepts connections
// and never answers cannot block its caller.
package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Limits of a call.
const (
	callLimit = 30 * time.Second // until the whole answer is read
	maxAnswer = 4 << 20          // bytes of an answer that is not a stream
)

// Client talks to one node. Its errors name the node and what was asked of it.
type Client struct {
	name, base string
	transport  http.RoundTripper
	streams    http.RoundTripper // without a limit until the answer begins
	callLimit  time.Duration
}

// New returns a client of the node with the given name whose API is at the URL
// base, without a trailing slash.
func New(name, base string, transport http.RoundTripper) *Client {
	return &Client{name: name, base: base, transport: transport, streams: transport, callLimit: callLimit}
}

// Status returns the node's own view of itself.
func (c *Client) Status(ctx context.Context) (nodeapi.Status, error) {
	var status nodeapi.Status
	err := c.call(ctx, http.MethodGet, nodeapi.PathStatus, nil, &status)
	return status, c.wrap("get the status of", err)
}

// WriteFiles replaces files of the node's document.
func (c *Client) WriteFiles(ctx context.Context, files map[string][]byte) error {
	return c.wrap("write files on", c.call(ctx, http.MethodPost, nodeapi.PathFiles, nodeapi.FilesRequest{Files: files}, nil))
}

// SetClock sets the node's clock.
func (c *Client) SetClock(ctx context.Context, now time.Time) error {
	return c.wrap("set the clock of", c.call(ctx, http.MethodPost, nodeapi.PathClock, nodeapi.ClockRequest{Time: now}, nil))
}

// SetHost replaces what the node has taken over from the host.
func (c *Client) SetHost(ctx context.Context, settings nodeconfig.Host) error {
	return c.wrap("give the host's settings to", c.call(ctx, http.MethodPost, nodeapi.PathHost, settings, nil))
}

// PowerOff asks the node to shut down. It returns once the node has accepted.
func (c *Client) PowerOff(ctx context.Context) error {
	return c.wrap("power off", c.call(ctx, http.MethodPost, nodeapi.PathPower, nodeapi.PowerRequest{Action: nodeapi.PowerActionOff}, nil))
}

// Restart asks the node to restart. It returns once the node has accepted, before
// it restarts.
func (c *Client) Restart(ctx context.Context) error {
	return c.wrap("restart", c.call(ctx, http.MethodPost, nodeapi.PathPower, nodeapi.PowerRequest{Action: nodeapi.PowerActionRestart}, nil))
}

// Logs streams one log of the node: a program of its Status, "kernel" or "init".
// tail is the number of last lines, 0 for all. The caller closes the stream.
func (c *Client) Logs(ctx context.Context, source string, tail int, follow bool) (io.ReadCloser, error) {
	query := url.Values{"source": {source}}
	if tail > 0 {
		query.Set("tail", strconv.Itoa(tail))
	}
	if follow {
		query.Set("follow", "true")
	}
	response, err := c.do(ctx, c.streams, http.MethodGet, nodeapi.PathLogs+"?"+query.Encode(), nil)
	if err != nil {
		return nil, c.wrap("read log "+source+" of", err)
	}
	return response.Body, nil
}

// TakeLogs asks for what log files have beyond what the host read: chunks for a
// nodeapi.LogReader. The caller closes the answer.
func (c *Client) TakeLogs(ctx context.Context, request nodeapi.TakeRequest) (io.ReadCloser, error) {
	response, err := c.do(ctx, c.streams, http.MethodPost, nodeapi.PathTakeLogs, request)
	if err != nil {
		return nil, c.wrap("collect the logs of", err)
	}
	return response.Body, nil
}

// call sends a request and decodes the answer into answer, which may be nil.
func (c *Client) call(ctx context.Context, method, path string, request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, c.callLimit)
	defer cancel()
	response, err := c.do(ctx, c.transport, method, path, request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(content, answer)
}

// do sends a request. The caller closes the body of the response.
func (c *Client) do(ctx context.Context, transport http.RoundTripper, method, path string, request any) (*http.Response, error) {
	r, err := jsonhttp.NewRequest(ctx, method, c.base+path, request)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	return nil, daemonapi.ReadFailure(response)
}

func (c *Client) wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s node %s: %w", action, c.name, err)
}
