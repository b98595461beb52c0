// Package client is the other side of the user's registry: it starts the registry,
// sends requests to it, and keeps it running while a cluster uses it.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/background"
	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

var (
	// ErrNotRunning reports that the registry is not running.
	ErrNotRunning = errors.New("the registry is not running")
	// ErrStopped reports that the user stopped the registry.
	ErrStopped = errors.New("the registry was stopped")
)

const (
	// startLimit bounds how long the registry takes until it answers.
	startLimit = 20 * time.Second
	// poll is how often Stop checks whether the registry has ended.
	poll = 10 * time.Millisecond
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 16 << 20
	// baseURL has no meaning: there is one socket.
	baseURL = "http://registry"
)

// Client sends requests to the user's registry.
type Client struct {
	dir home.Registry
	// command runs the registry in the foreground.
	command []string
}

// New returns a Client. command is the program and the arguments that run the
// registry in the foreground: registry.Run with the same home.
func New(h home.Home, command []string) *Client { return &Client{h.Registry(), command} }

// Status returns what the registry reports; ErrNotRunning if it is not running.
func (c *Client) Status(ctx context.Context) (registryapi.Status, error) {
	return ask[registryapi.Status](ctx, c, http.MethodGet, registryapi.PathStatus, nil)
}

// Images returns what nodes can pull; ErrNotRunning if the registry is not
// running.
func (c *Client) Images(ctx context.Context) ([]registryapi.Image, error) {
	return ask[[]registryapi.Image](ctx, c, http.MethodGet, registryapi.PathImages, nil)
}

// Prune deletes what is not needed; ErrNotRunning if the registry is not
// running.
func (c *Client) Prune(ctx context.Context, request registryapi.PruneRequest) (registryapi.Pruned, error) {
	return ask[registryapi.Pruned](ctx, c, http.MethodPost, registryapi.PathPrune, request)
}

// Keep makes the registry run until it is stopped; ErrNotRunning if it is not running.
func (c *Client) Keep(ctx context.Context) (registryapi.Status, error) {
	return ask[registryapi.Status](ctx, c, http.MethodPost, registryapi.PathKeep, nil)
}

// Stop ends the registry and waits until it has ended; ErrNotRunning if there is
// none.
func (c *Client) Stop(ctx context.Context) error {
	response, err := c.do(ctx, http.MethodPost, registryapi.PathStop, nil)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	for c.dir.Held() {
		if err := pause.For(ctx, poll); err != nil {
			return fmt.Errorf("wait for the end of the registry: %w", err)
		}
	}
	return nil
}

// Start starts the registry unless it is running, and waits until it answers.
// arguments are added to the command.
func (c *Client) Start(ctx context.Context, arguments ...string) (registryapi.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var status registryapi.Status
	var failure error
	registry := background.Program{
		Command: slices.Concat(c.command, arguments), OpenLog: c.openLog, Held: c.dir.Held,
		Answers: func(ctx context.Context) bool {
			status, failure = c.Status(ctx)
			return !errors.Is(failure, ErrNotRunning)
		},
	}
	if err := registry.Ensure(ctx); err != nil {
		return status, &daemonapi.Failure{Cause: fmt.Sprintf("the registry failed to start: %v", err), Log: c.dir.Log()}
	}
	return status, failure
}

// openLog opens the registry's log and creates its directory if it is missing.
func (c *Client) openLog() (*os.File, error) {
	if err := c.dir.Create(); err != nil {
		return nil, fmt.Errorf("create the registry's directory: %w", err)
	}
	return os.OpenFile(c.dir.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// Use makes the registry serve a cluster until ctx ends, which returns nil, or the
// registry does. begun is called with the registry's status once it serves. The error
// is ErrNotRunning if the registry ended or is not running, and ErrStopped if the
// user stopped it.
func (c *Client) Use(ctx context.Context, use registryapi.Use, begun func(registryapi.Status)) error {
	response, err := c.do(ctx, http.MethodPost, registryapi.PathUse, use)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	decoder := json.NewDecoder(response.Body)
	for {
		var status registryapi.Status
		switch err := decoder.Decode(&status); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", ErrNotRunning, err)
		case status.Stopping:
			return ErrStopped
		}
		begun(status)
	}
}

// Dial connects to the registry's socket.
func (c *Client) Dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", c.dir.Socket())
}

// do sends one request on a connection of its own. The caller closes the body, which
// ends the connection.
func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	request, err := jsonhttp.NewRequest(ctx, method, baseURL+path, body)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.Dial(ctx) },
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w (%w)", ErrNotRunning, err)
	}
	if response.StatusCode < http.StatusMultipleChoices {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the registry failed: %s", strings.TrimSpace(string(text)))
}

// ask sends one request and decodes the answer.
func ask[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var answer T
	response, err := c.do(ctx, method, path, body)
	if err != nil {
		return answer, err
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer); err != nil {
		return answer, fmt.Errorf("decode the registry's answer: %w", err)
	}
	return answer, nil
}
