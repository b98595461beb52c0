// Package node is the client of a node's API (package nodeapi). The daemon uses
// it over mutual TLS, the command line through the daemon's socket. Every call
// that is not a stream has a time limit, so that a node that accepts connections
// and never answers cannot block its caller.
package node

import (
	"context"
	"crypto/rand"
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

// SetIdentity gives a node whose memory was copied random bytes of its own and, unless
// document is empty, another document.
func (c *Client) SetIdentity(ctx context.Context, document []byte) error {
	request := nodeapi.IdentityRequest{Random: make([]byte, nodeapi.RandomBytes), Document: document}
	_, err := rand.Read(request.Random)
	if err == nil {
		err = c.call(ctx, http.MethodPost, nodeapi.PathIdentity, request, nil)
	}
	return c.wrap("set the identity of", err)
}

// SetClock gives the node's clock the host's time.
func (c *Client) SetClock(ctx context.Context) error { return c.SetClockWrong(ctx, 0) }

// A request to set the clock that takes longer than slowClock may have arrived late. It is
// sent again, at most clockTries times in all: the connection that took long is there then.
const (
	slowClock  = time.Second
	clockTries = 3
)

// SetClockWrong sets the node's clock ahead of the host's, or behind it.
func (c *Client) SetClockWrong(ctx context.Context, ahead time.Duration) error {
	var err error
	for try, slow := 0, true; err == nil && slow && try < clockTries; try++ {
		now := time.Now()
		request := nodeapi.ClockRequest{Time: now, AheadSeconds: ahead.Seconds()}
		err = c.wrap("set the clock of", c.call(ctx, http.MethodPost, nodeapi.PathClock, request, nil))
		slow = time.Since(now) > slowClock
	}
	return err
}

// FillDisk fills the node's own disk until FreeDisk, or for a time at most.
func (c *Client) FillDisk(ctx context.Context, length time.Duration) error {
	request := nodeapi.DiskRequest{FullSeconds: length.Seconds()}
	return c.wrap("fill the disk of", c.call(ctx, http.MethodPost, nodeapi.PathDisk, request, nil))
}

// FreeDisk ends what FillDisk began. Freeing a disk that is not filled does nothing.
func (c *Client) FreeDisk(ctx context.Context) error {
	return c.wrap("free the disk of", c.call(ctx, http.MethodPost, nodeapi.PathDisk, nodeapi.DiskRequest{}, nil))
}

// growLimit bounds how long a file system takes to grow, which is slow under emulation.
const growLimit = 10 * time.Minute

// Grow grows the file system of the node's own disk to the size of the disk.
func (c *Client) Grow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, growLimit)
	defer cancel()
	response, err := c.do(ctx, c.streams, http.MethodPost, nodeapi.PathGrow, nil)
	if err == nil {
		err = response.Body.Close()
	}
	return c.wrap("grow the disk of", err)
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
