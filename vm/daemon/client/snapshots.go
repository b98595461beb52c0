package client

import (
	"context"
	"errors"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// Snapshot makes a snapshot of the running cluster and calls event as Apply does. The machines
// are paused for a moment. ErrNoDaemon if the cluster is not running.
func (c *Client) Snapshot(ctx context.Context, name string, event func(daemonapi.Event)) error {
	return c.stream(ctx, daemonapi.PathSnapshot, daemonapi.SnapshotRequest{Name: name}, event)
}

// RestoreSnapshot makes the cluster, running or stopped, what it was in a snapshot, waits until
// its nodes are Ready, and calls event as Apply does. When ctx ends, it returns and the
// operation continues. The error is ErrNoCluster if the cluster does not exist.
func (c *Client) RestoreSnapshot(ctx context.Context, name string, event func(daemonapi.Event)) error {
	if _, err := c.Spec(); err != nil {
		return err
	}
	return c.ensured(ctx, daemonapi.PathRestoreSnapshot, daemonapi.SnapshotRequest{Name: name}, event)
}

// Clone starts the daemon if none is running, makes the cluster from a snapshot of another one, or
// continues that, waits until its nodes are Ready, and calls event as Apply does. When ctx ends,
// it returns and the operation continues.
func (c *Client) Clone(ctx context.Context, request cluster.CloneRequest, event func(daemonapi.Event)) error {
	return c.ensured(ctx, daemonapi.PathClone, request, event)
}

// SnapshotState returns the state of the cluster in a snapshot. It needs no daemon. The errors
// are those of ReadSnapshot.
func (c *Client) SnapshotState(name string) (cluster.State, error) {
	m, err := snapshot.Read(c.dir(), name)
	if err != nil {
		return cluster.State{}, err
	}
	return snapshot.State(c.dir(), m)
}

// Cloned reports whether the cluster exists because it was being made from a snapshot, which was
// interrupted. The error is a *daemonapi.Failure if it exists otherwise.
func (c *Client) Cloned(origin cluster.Origin) (spec cluster.Spec, exists bool, err error) {
	state, err := cluster.ReadState(c.dir().State())
	if cluster.IsAbsent(err) {
		return spec, false, nil
	}
	if err != nil {
		return spec, true, err
	}
	return state.Spec, true, offline.CheckCloned(state, origin)
}

// ReadSnapshot returns the description of a snapshot. It needs no daemon. The error wraps
// snapshot.ErrName, snapshot.ErrNone or snapshot.ErrDamaged.
func (c *Client) ReadSnapshot(name string) (snapshot.Manifest, error) {
	return snapshot.Read(c.dir(), name)
}

// Snapshots returns the cluster's snapshots, the oldest first, and one error for each that is
// damaged. It needs no daemon.
func (c *Client) Snapshots() (all []snapshot.Manifest, damaged []error, err error) {
	return snapshot.List(c.dir())
}

// RemoveSnapshot removes a snapshot. It needs no daemon. The error wraps snapshot.ErrName,
// snapshot.ErrNone or home.ErrLocked.
func (c *Client) RemoveSnapshot(name string) error {
	lock, err := c.dir().AcquireSnapshots()
	if err != nil {
		return err
	}
	return errors.Join(snapshot.Remove(c.dir(), name), lock.Release())
}
