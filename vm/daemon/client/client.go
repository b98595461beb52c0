// Package client is how the command line speaks to a cluster's daemon, and what
// it can still do when no daemon lives.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/node"
	"github.com/skiff-dev/skiff/vm/offline"
)

// Sentinels.
var (
	// ErrNoDaemon says that no daemon serves the cluster.
	ErrNoDaemon = errors.New("the cluster's daemon does not run")
	// ErrNoCluster says that nothing of the cluster exists.
	ErrNoCluster = errors.New("no such cluster")
)

// maxAnswer bounds an answer that is no stream, in bytes.
const maxAnswer = 4 << 20

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

func (c *Client) dir() home.Cluster { return c.config.Home.Cluster(c.config.Name) }

// List are all clusters on disk with their status, in the order of their names;
// without a daemon the status is read from the cluster's files.
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

// Spec is the one that the cluster was last brought to; ErrNoCluster if none.
func (c *Client) Spec() (cluster.Spec, error) {
	state, err := cluster.ReadState(c.dir().State())
	if cluster.IsAbsent(err) {
		return cluster.Spec{}, fmt.Errorf("%s: %w", c.config.Name, ErrNoCluster)
	}
	return state.Spec, err
}

// Plan is what Apply would do; empty when the cluster is as spec wants it.
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
	return cluster.Plan(spec, offline.Observe(c.dir(), state)), nil
}

// Apply starts the daemon if none lives and brings the cluster to spec. It
// calls event for each line of progress, the last one included, from one
// goroutine. When ctx ends, Apply returns and the work goes on.
func (c *Client) Apply(ctx context.Context, spec cluster.Spec, event func(daemonapi.Event)) error {
	for deadline := time.Now().Add(startLimit); ; {
		if err := c.ensure(ctx); err != nil {
			return err
		}
		err := c.stream(ctx, daemonapi.PathApply, spec, event)
		// What answered was a daemon that is being killed; no event was read yet.
		if !errors.Is(err, ErrNoDaemon) || time.Now().After(deadline) || pause.For(ctx, 20*time.Millisecond) != nil {
			return err
		}
	}
}

// RotateSecrets exchanges the key of secrets at rest, or goes on with that, and
// calls event as Apply does. ErrNoDaemon if the cluster does not run.
func (c *Client) RotateSecrets(ctx context.Context, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathRotate, nil, event)
}

// Pause freezes the cluster's machines, which keep their memory and take no
// processor time, and calls event as Apply does. Pausing a paused cluster does
// nothing. ErrNoDaemon if the cluster does not run.
func (c *Client) Pause(ctx context.Context, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathPause, nil, event)
}

// Resume lets a paused cluster go on, until its nodes are Ready, and calls event
// as Apply does. When ctx ends, Resume returns and the work goes on. Resuming a
// cluster that is not paused does nothing. ErrNoDaemon if it does not run.
func (c *Client) Resume(ctx context.Context, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathResume, nil, event)
}

// ReadmitKeys lets the control planes read what retired keys of secrets at rest
// encrypted, before a snapshot of that time is restored.
func (c *Client) ReadmitKeys(ctx context.Context) error {
	response, err := c.do(ctx, http.MethodPost, daemonapi.PathReadmit, nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Down removes the cluster and all that it left, with or without a daemon.
// Removing what does not exist does nothing.
func (c *Client) Down(ctx context.Context, event func(daemonapi.Event)) error {
	if _, err := os.Stat(string(c.dir())); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := c.dir().Acquire()
	if errors.Is(err, home.ErrLocked) {
		return c.downLive(ctx, event)
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()
	if _, err := cluster.ReadState(c.dir().State()); errors.Is(err, cluster.ErrNewer) {
		return err
	}
	event(daemonapi.Event{Time: time.Now(), Phase: daemonapi.PhaseDelete, State: daemonapi.StateRunning})
	if err := offline.Sweep(c.dir()); err != nil {
		return err
	}
	if err := os.RemoveAll(string(c.dir())); err != nil {
		return fmt.Errorf("remove the cluster's directory: %w", err)
	}
	event(daemonapi.Event{Time: time.Now(), Phase: daemonapi.PhaseCluster, State: daemonapi.StateDone, Message: "removed", Done: true})
	return nil
}

// downLive asks the daemon and waits until it has gone.
func (c *Client) downLive(ctx context.Context, event func(daemonapi.Event)) error {
	daemon := c.dir().Holder()
	if err := c.stream(ctx, daemonapi.PathDown, nil, event); err != nil {
		return err
	}
	for {
		if _, err := os.Stat(string(c.dir())); errors.Is(err, fs.ErrNotExist) {
			awaitExit(ctx, daemon)
			return nil
		}
		if err := pause.For(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the daemon to end: %w", err)
		}
	}
}

// exitLimit bounds the wait for a daemon that has done its work. It is over at once
// but for a process that nobody reaps.
const exitLimit = 2 * time.Second

// awaitExit waits until the daemon's process is gone, so that nothing of a cluster
// is left when Down returns.
func awaitExit(ctx context.Context, pid int) {
	if pid <= 0 || pid == os.Getpid() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, exitLimit)
	defer cancel()
	for syscall.Kill(pid, 0) == nil && pause.For(ctx, 5*time.Millisecond) == nil {
	}
}

// Stop lets the guests shut down, within a limit, ends the daemon and returns when
// it has ended. It calls event as Apply does: PhaseStop fails for a machine that
// had to be powered off. It returns false if no daemon was running; what a dead
// daemon left of its machines is then ended. Disks are kept. When ctx ends, Stop
// returns and the shutdown continues. ErrNoCluster if there is no cluster.
func (c *Client) Stop(ctx context.Context, event func(daemonapi.Event)) (stopped bool, err error) {
	status, err := c.Status(ctx)
	if err != nil {
		return false, err
	}
	if status.DaemonPID == 0 {
		return false, c.endStray()
	}
	if err := c.stream(ctx, daemonapi.PathStop, nil, event); err != nil {
		return false, fmt.Errorf("stop the cluster: %w", err)
	}
	for c.dir().Held() {
		if err := pause.For(ctx, 10*time.Millisecond); err != nil {
			return false, fmt.Errorf("wait for the daemon to end: %w", err)
		}
	}
	return true, nil
}

// Restart restarts a node, waits until it is Ready, and calls event as Apply does:
// the node has accepted with the first event of PhaseBoot. When ctx ends, Restart
// returns and the restart continues. ErrNoDaemon if the cluster is not running.
func (c *Client) Restart(ctx context.Context, node string, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathRestart+url.PathEscape(node), nil, event)
}

// endStray ends what a dead daemon left of its machines, unless another works on
// them.
func (c *Client) endStray() error {
	lock, err := c.dir().Acquire()
	if errors.Is(err, home.ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()
	return drivers.Cleanup(c.dir())
}

// Status is the daemon's view, or what the files say when no daemon lives;
// ErrNoCluster if there is nothing at all.
func (c *Client) Status(ctx context.Context) (daemonapi.ClusterStatus, error) {
	var status daemonapi.ClusterStatus
	err := c.call(ctx, http.MethodGet, daemonapi.PathStatus, nil, &status)
	if errors.Is(err, ErrNoDaemon) {
		status, err = offline.Status(c.dir())
	}
	if cluster.IsAbsent(err) || err == nil && status.Phase == "absent" {
		return status, fmt.Errorf("%s: %w", c.config.Name, ErrNoCluster)
	}
	return status, err
}

// Kubeconfig is the admin's, in YAML, with context skiff-NAME. It needs no
// daemon.
func (c *Client) Kubeconfig(context.Context) ([]byte, error) {
	content, err := offline.Kubeconfig(c.dir())
	if cluster.IsAbsent(err) {
		return nil, fmt.Errorf("%s: %w", c.config.Name, ErrNoCluster)
	}
	return content, err
}

// UserKubeconfig makes a kubeconfig for somebody else. It needs no daemon.
func (c *Client) UserKubeconfig(u credentials.User) ([]byte, error) {
	content, err := offline.UserKubeconfig(c.dir(), u)
	if cluster.IsAbsent(err) {
		return nil, fmt.Errorf("%s: %w", c.config.Name, ErrNoCluster)
	}
	return content, err
}

// ConsoleLog is the path of a node's serial console log on the host.
func (c *Client) ConsoleLog(node string) string { return c.dir().Console(node) }

// dial connects to the daemon; ErrNoDaemon if none listens.
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

// do sends one request. The caller closes the body, which ends the connection.
func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, daemonURL+path, content)
	if err != nil {
		return nil, err
	}
	response, err := c.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	return nil, daemonapi.ReadFailure(response)
}

// daemonURL is the daemon's base URL. Its host is not used: there is one socket.
const daemonURL = "http://daemon"

// Node returns a client of a node's API that goes through the daemon.
func (c *Client) Node(name string) *Node {
	return node.New(name, daemonURL+daemonapi.PathNode+url.PathEscape(name), c)
}

// What a caller of Node needs.
type (
	Node    = node.Client
	Streams = node.Streams
	Size    = node.Size
)

// RoundTrip sends a request to the daemon on a connection of its own;
// ErrNoDaemon if no daemon answers.
func (c *Client) RoundTrip(request *http.Request) (*http.Response, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}
	response, err := transport.RoundTrip(request)
	if err != nil && closedEarly(err) {
		return nil, fmt.Errorf("%w any more (%w)", ErrNoDaemon, err)
	}
	return response, err
}

// closedEarly reports whether a connection ended before the answer began: the
// socket of a process that is being killed accepts connections until the end.
func closedEarly(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) ||
		// One that ended before the request was written: net/http exports no value for it.
		strings.HasSuffix(err.Error(), "server closed idle connection")
}

// call sends one request and decodes the answer.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	response, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
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
