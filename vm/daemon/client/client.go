// Package client is the command line's side of a cluster's daemon. It starts the
// daemon, sends requests to it, and does without it what needs no daemon.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/node"
	"github.com/skiff-dev/skiff/vm/offline"
)

var (
	// ErrNoDaemon reports that no daemon serves the cluster.
	ErrNoDaemon = errors.New("the cluster's daemon is not running")
	// ErrNoCluster reports that the cluster does not exist.
	ErrNoCluster = errors.New("no such cluster")
)

// maxAnswer bounds an answer that is not a stream, in bytes.
const maxAnswer = 4 << 20

// Config of a Client.
type Config struct {
	Home home.Home
	// Name of the cluster.
	Name string
	// ImageDir holds the node image.
	ImageDir string
	// Command is the program and the arguments that run the daemon in the
	// foreground: daemon.Run with the same Home, Name and ImageDir.
	Command []string
	// Host returns what machines have to fit into; nil means offline.Host.
	Host func(home.Home) cluster.Host
}

// Client sends requests to one cluster's daemon. An error that is a
// *daemonapi.Failure has a hint for the user; if Invalid is set, the input was
// wrong and nothing was changed.
type Client struct{ config Config }

// New returns a Client. It does nothing else.
func New(config Config) *Client {
	if config.Host == nil {
		config.Host = offline.Host
	}
	return &Client{config}
}

func (c *Client) dir() home.Cluster { return c.config.Home.Cluster(c.config.Name) }

// List returns the status of all clusters on disk, sorted by name. Without a
// daemon a status is read from the cluster's files.
func List(ctx context.Context, h home.Home) ([]daemonapi.ClusterStatus, error) {
	names, err := h.Names()
	if err != nil {
		return nil, err
	}
	all := make([]daemonapi.ClusterStatus, len(names))
	var asked sync.WaitGroup
	for i, name := range names {
		asked.Go(func() {
			status, err := New(Config{Home: h, Name: name}).Status(ctx)
			if errors.Is(err, ErrNoCluster) {
				status = unfinished(h.Cluster(name))
			} else if err != nil {
				status = offline.Unreadable(name, err)
			}
			all[i] = status
		})
	}
	asked.Wait()
	all = slices.DeleteFunc(all, func(s daemonapi.ClusterStatus) bool { return s.Name == "" || s.Phase == "absent" })
	return all, ctx.Err()
}

// unfinished returns the status of a cluster whose removal was interrupted; its
// phase is absent if there is none.
func unfinished(dir home.Cluster) daemonapi.ClusterStatus {
	status := daemonapi.ClusterStatus{Name: dir.Name(), Phase: "absent"}
	if presence, err := dir.Presence(); err == nil && presence == home.Removing && !dir.Held() {
		status.Phase = "removing"
		status.Problems = []string{fmt.Sprintf("its removal was interrupted: run \"skiff down %s\" again", dir.Name())}
	}
	return status
}

// Spec returns the configuration that was last applied to the cluster;
// ErrNoCluster if there is no cluster.
func (c *Client) Spec() (cluster.Spec, error) {
	state, err := cluster.ReadState(c.dir().State())
	return state.Spec, c.absent(err)
}

// Plan returns the steps that Apply would run; none if the cluster matches spec.
func (c *Client) Plan(ctx context.Context, spec cluster.Spec) ([]cluster.Step, error) {
	var steps []cluster.Step
	err := c.call(ctx, http.MethodPost, daemonapi.PathPlan, spec, &steps)
	if !errors.Is(err, ErrNoDaemon) {
		return steps, err
	}
	state, err := cluster.ReadState(c.dir().State())
	if err != nil && !cluster.IsAbsent(err) {
		return nil, err
	}
	return cluster.Plan(spec.Settled(state.Spec), offline.Observe(c.dir(), state)), nil
}

// Status returns what the daemon observes, or what the cluster's files tell if no
// daemon is running; ErrNoCluster if there is no cluster.
func (c *Client) Status(ctx context.Context) (daemonapi.ClusterStatus, error) {
	var status daemonapi.ClusterStatus
	err := c.call(ctx, http.MethodGet, daemonapi.PathStatus, nil, &status)
	if errors.Is(err, ErrNoDaemon) {
		status, err = offline.Status(c.dir())
	}
	if err == nil && status.Phase == "absent" {
		err = fmt.Errorf("%s: %w", c.config.Name, ErrNoCluster)
	}
	offline.MarkOutdated(c.config.ImageDir, &status)
	return status, c.absent(err)
}

// Kubeconfig returns the administrator's kubeconfig in YAML, with one context
// named skiff-NAME. It needs no daemon.
func (c *Client) Kubeconfig(context.Context) ([]byte, error) {
	content, err := offline.Kubeconfig(c.dir())
	return content, c.absent(err)
}

// UserKubeconfig returns a kubeconfig with a new certificate for a user. It needs
// no daemon.
func (c *Client) UserKubeconfig(u credentials.User) ([]byte, error) {
	content, err := offline.UserKubeconfig(c.dir(), u)
	return content, c.absent(err)
}

// absent returns ErrNoCluster if err is that of a missing state file, else err.
func (c *Client) absent(err error) error {
	if cluster.IsAbsent(err) {
		return fmt.Errorf("%s: %w", c.config.Name, ErrNoCluster)
	}
	return err
}

// ConsoleLog returns the path of a node's serial console log on the host.
func (c *Client) ConsoleLog(node string) string { return c.dir().Console(node) }

// The types that a caller of Client.Node needs.
type (
	// Node is the client of one node's API.
	Node = node.Client
	// Streams are a command's standard streams.
	Streams = node.Streams
	// Size is that of a terminal.
	Size = node.Size
)

// daemonURL is the daemon's base URL. Its host is not used: there is one socket.
const daemonURL = "http://daemon"

// Node returns a client of a node's API that goes through the daemon.
func (c *Client) Node(name string) *Node {
	return node.New(name, daemonURL+daemonapi.PathNode+url.PathEscape(name), c)
}

// dial connects to the daemon; ErrNoDaemon if none is listening.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", c.dir().Socket())
	if err == nil {
		return conn, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%w (%w)", ErrNoDaemon, err)
}

// RoundTrip sends a request to the daemon on a connection of its own;
// ErrNoDaemon if no daemon answers.
func (c *Client) RoundTrip(request *http.Request) (*http.Response, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		// A snapshot is sent once the daemon agrees to read it.
		ExpectContinueTimeout: continueLimit,
		DialContext:           func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}
	response, err := transport.RoundTrip(request)
	if err != nil && closedEarly(err) {
		return nil, fmt.Errorf("%w: it ended before it answered (%w)", ErrNoDaemon, err)
	}
	return response, err
}

// closedEarly reports whether a connection ended before the answer began: the
// socket of a process that is being killed accepts connections until the end.
func closedEarly(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) ||
		// The connection ended before the request was written; net/http exports no value for it.
		strings.HasSuffix(err.Error(), "server closed idle connection")
}

// do sends one request. The caller closes the body, which ends the connection.
func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	request, err := jsonhttp.NewRequest(ctx, method, daemonURL+path, body)
	if err != nil {
		return nil, err
	}
	return c.send(request)
}

// send sends a request as do does.
func (c *Client) send(request *http.Request) (*http.Response, error) {
	response, err := c.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	failure := daemonapi.ReadFailure(response)
	if wanted := new(daemonapi.Failure); response.StatusCode == http.StatusNotFound && !errors.As(failure, &wanted) {
		return nil, c.older("does not know " + request.URL.Path)
	}
	return nil, c.explained(failure)
}

// unknownField matches the failure of a daemon that does not know a field of a request.
var unknownField = regexp.MustCompile(`^(?:read the [^:]*: )?json: unknown field (".*")$`)

// explained returns a failure for users if the daemon is that of an older skiff: daemons
// keep running when the program is replaced.
func (c *Client) explained(err error) error {
	var failure *daemonapi.Failure
	if !errors.As(err, &failure) {
		return err
	}
	field := unknownField.FindStringSubmatch(failure.Cause)
	if field == nil {
		return err
	}
	return c.older("does not know " + field[1])
}

// older returns the failure of the daemon of an older skiff.
func (c *Client) older(problem string) *daemonapi.Failure {
	return &daemonapi.Failure{
		Cause: fmt.Sprintf("the daemon of cluster %q was started by an older skiff and %s", c.config.Name, problem),
		Hint:  fmt.Sprintf("run `skiff stop %s` and `skiff up %s`; its data is kept", c.config.Name, c.config.Name),
	}
}

// call sends one request and decodes the answer.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	response, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("decode the daemon's answer: %w", err)
	}
	return nil
}

// stream sends one request and follows the events of the answer.
func (c *Client) stream(ctx context.Context, path string, body any, event func(daemonapi.Event)) error {
	response, err := c.do(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	return daemonapi.Follow(response.Body, event)
}
