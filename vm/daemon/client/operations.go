package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/records"
)

// waitPeriod is how often a condition outside of this process is checked.
const waitPeriod = 10 * time.Millisecond

// Apply starts the daemon if none is running and makes the cluster match spec. It
// calls event with each event, the last one included, from one goroutine. When ctx
// ends, Apply returns and the operation continues.
func (c *Client) Apply(ctx context.Context, spec cluster.Spec, event func(daemonapi.Event)) error {
	return c.ApplyDraining(ctx, spec, daemonapi.Draining{}, event)
}

// ApplyDraining is Apply with settings for the nodes that are drained.
func (c *Client) ApplyDraining(ctx context.Context, spec cluster.Spec, draining daemonapi.Draining, event func(daemonapi.Event)) error {
	return c.ensured(ctx, daemonapi.PathApply+draining.Query(), spec, event)
}

// ensured starts the daemon if none is running, sends one request and follows the events of
// the answer.
func (c *Client) ensured(ctx context.Context, path string, body any, event func(daemonapi.Event)) error {
	for deadline := time.Now().Add(startLimit); ; {
		if err := c.ensure(ctx); err != nil {
			return err
		}
		err := c.stream(ctx, path, body, event)
		// A daemon that is being killed may have accepted the connection. No event was
		// read yet, so it is safe to try again.
		if !errors.Is(err, ErrNoDaemon) || time.Now().After(deadline) || pause.For(ctx, waitPeriod) != nil {
			return err
		}
	}
}

// RemoveNodes drains the named nodes and deletes their machines, and calls event as Apply
// does. ErrNoDaemon if the cluster is not running.
func (c *Client) RemoveNodes(ctx context.Context, request daemonapi.NodesRequest, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathRemoveNodes, request, event)
}

// ReplaceNodes drains the named nodes and makes new machines for them, and calls event as
// Apply does. ErrNoDaemon if the cluster is not running.
func (c *Client) ReplaceNodes(ctx context.Context, request daemonapi.NodesRequest, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathReplaceNodes, request, event)
}

// RotateSecrets replaces the encryption key of secrets, or continues that, and
// calls event as Apply does. ErrNoDaemon if the cluster is not running.
func (c *Client) RotateSecrets(ctx context.Context, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathRotate, nil, event)
}

// RotateAuthorities replaces the cluster's authorities, or continues that, and calls event
// as Apply does. ErrNoDaemon if the cluster is not running.
func (c *Client) RotateAuthorities(ctx context.Context, request daemonapi.RotateAuthorities, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathRotateAuthorities, request, event)
}

// PKI describes the cluster's authorities and certificates, with or without a daemon.
func (c *Client) PKI(ctx context.Context) (daemonapi.PKI, error) {
	var described daemonapi.PKI
	err := c.call(ctx, http.MethodGet, daemonapi.PathPKI, nil, &described)
	if errors.Is(err, ErrNoDaemon) {
		described, err = offline.PKI(c.dir())
		err = c.absent(err)
	}
	return described, err
}

// Pause freezes the cluster's machines, which keep their memory and use no CPU,
// and calls event as Apply does. Pausing a paused cluster does nothing.
// ErrNoDaemon if the cluster is not running.
func (c *Client) Pause(ctx context.Context, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathPause, nil, event)
}

// PauseIdle changes the setting pause.idle of a running cluster. ErrNoDaemon if it is not
// running.
func (c *Client) PauseIdle(ctx context.Context, idle string) error {
	var set daemonapi.PauseIdle
	return c.call(ctx, http.MethodPost, daemonapi.PathPauseIdle, daemonapi.PauseIdle{Idle: idle}, &set)
}

// Resume resumes a paused cluster, waits until its nodes are Ready, and calls event
// as Apply does. When ctx ends, Resume returns and the operation continues.
// Resuming a cluster that is not paused does nothing. ErrNoDaemon if it is not
// running.
func (c *Client) Resume(ctx context.Context, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathResume, nil, event)
}

// Restart restarts a node, waits until it is Ready, and calls event as Apply does:
// the node has accepted with the first event of PhaseBoot. When ctx ends, Restart
// returns and the operation continues. ErrNoDaemon if the cluster is not running.
func (c *Client) Restart(ctx context.Context, node string, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathRestart+url.PathEscape(node), nil, event)
}

// Down deletes the cluster and everything that it left, with or without a daemon,
// and returns when the daemon has ended. The cluster's records are kept if the request
// asks for that. Deleting a cluster that does not exist does nothing.
func (c *Client) Down(ctx context.Context, request daemonapi.DownRequest, event func(daemonapi.Event)) error {
	if _, err := os.Stat(string(c.dir())); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := c.dir().Acquire()
	if errors.Is(err, home.ErrLocked) {
		return c.downRunning(ctx, request, event)
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()
	if _, err := cluster.ReadState(c.dir().State()); errors.Is(err, cluster.ErrNewer) {
		return err
	}
	if err := offline.CheckSnapshots(c.dir(), request); err != nil {
		return err
	}
	event(daemonapi.Event{Time: time.Now(), Phase: daemonapi.PhaseDelete, State: daemonapi.StateRunning})
	c.waitLogs(ctx)
	if request.KeepRecords {
		if _, err := records.Keep(c.dir(), time.Now()); err != nil {
			return err
		}
	}
	if err := offline.Sweep(c.dir()); err != nil {
		return err
	}
	if err := os.RemoveAll(string(c.dir())); err != nil {
		return fmt.Errorf("remove the cluster's directory: %w", err)
	}
	event(daemonapi.Event{Time: time.Now(), Phase: daemonapi.PhaseCluster, State: daemonapi.StateDone, Message: "removed", Done: true})
	return nil
}

// logsLimit bounds how long the process of the log store may take to end.
const logsLimit = 30 * time.Second

// waitLogs waits until the process of the log store has ended: if its daemon was killed,
// it may still be writing.
func (c *Client) waitLogs(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, logsLimit)
	defer cancel()
	for c.dir().LogsHeld() && pause.For(ctx, waitPeriod) == nil {
		continue
	}
}

// downRunning asks the daemon and waits until it has ended.
func (c *Client) downRunning(ctx context.Context, request daemonapi.DownRequest, event func(daemonapi.Event)) error {
	return c.end(ctx, daemonapi.PathDown, request, event, func() bool {
		_, err := os.Stat(string(c.dir()))
		return errors.Is(err, fs.ErrNotExist)
	})
}

// Stop writes the machines' memory to disk or lets their guests shut down, as the request
// asks, ends the daemon and returns when it has ended. It calls event as Apply does:
// PhaseSave fails if the memory cannot be kept, and PhaseStop for a machine that had to be
// powered off. It returns false if no daemon was running; what a
// dead daemon left of its machines is then ended. Disks are kept. When ctx ends,
// Stop returns and the operation continues. ErrNoCluster if there is no cluster.
func (c *Client) Stop(ctx context.Context, request daemonapi.StopRequest, event func(daemonapi.Event)) (stopped bool, err error) {
	err = c.end(ctx, daemonapi.PathStop, request, event, func() bool { return !c.dir().Held() })
	if !errors.Is(err, ErrNoDaemon) {
		return err == nil, err
	}
	if _, err := offline.Status(c.dir()); err != nil {
		return false, c.absent(err)
	}
	return false, c.endStray()
}

// end runs an operation that ends the daemon, and waits until gone returns true and
// the daemon's process has exited.
func (c *Client) end(ctx context.Context, path string, body any, event func(daemonapi.Event), gone func() bool) error {
	daemon := c.dir().Holder()
	if err := c.stream(ctx, path, body, event); err != nil {
		return err
	}
	for !gone() {
		if err := pause.For(ctx, waitPeriod); err != nil {
			return fmt.Errorf("wait for the daemon to end: %w", err)
		}
	}
	awaitExit(ctx, daemon)
	return nil
}

// exitLimit bounds the wait for a daemon that has done its work. It is over at once
// but for a process that nobody reaps.
const exitLimit = 2 * time.Second

// awaitExit waits until the daemon's process is gone.
func awaitExit(ctx context.Context, pid int) {
	if pid <= 0 || pid == os.Getpid() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, exitLimit)
	defer cancel()
	for syscall.Kill(pid, 0) == nil && pause.For(ctx, waitPeriod) == nil {
	}
}

// endStray ends what a dead daemon left of its machines, unless another process
// has the cluster's lock.
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
