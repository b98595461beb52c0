package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
)

// syncLimit bounds how long nodes take to write their caches before they shut
// down.
const syncLimit = 10 * time.Second

// emulatedFactor is how much longer an emulated guest may take to shut down.
const emulatedFactor = 5

// PowerOff lets all guests shut down, each within the limit, and returns the
// names of those that did not. First all nodes write what they hold to their
// disks, so that little is lost if one has to be cut off. Then workers shut down
// at once, and control planes one after another, so that etcd keeps its majority
// as long as possible. Faults are ended and paused machines resumed for that.
func (f *Fleet) PowerOff(ctx context.Context, op *operation.Operation) []string {
	f.faults.abandon(ctx)
	if f.Paused(ctx) {
		f.wake(ctx)
	}
	limit := f.powerOffLimit()
	running := slices.DeleteFunc(f.state.members(), func(n cluster.Node) bool { return !f.machines.running(ctx, n.Name) })
	f.nodes.sync(ctx, running)
	var all sync.WaitGroup
	done := make([]bool, len(running))
	for i, n := range running {
		if !cluster.IsControlPlane(n.Name) {
			all.Go(func() { done[i] = f.shutDown(ctx, op, n, limit) })
		}
	}
	all.Wait()
	for i, n := range slices.Backward(running) {
		if cluster.IsControlPlane(n.Name) {
			done[i] = f.shutDown(ctx, op, n, limit)
		}
	}
	var cutOff []string
	for i, n := range running {
		if !done[i] {
			cutOff = append(cutOff, n.Name)
		}
	}
	return cutOff
}

// shutDown lets one guest shut down and reports whether it did within limit.
func (c *core) shutDown(ctx context.Context, op *operation.Operation, n cluster.Node, limit time.Duration) bool {
	op.Begin(n.Name, daemonapi.PhaseStop, "")
	off, asked := c.powerOff(ctx, n, limit)
	if off {
		op.End(n.Name, daemonapi.PhaseStop, nil)
		return true
	}
	cause := fmt.Sprintf("%s did not shut down within %s and was powered off; writes that its programs had not synced are lost", n.Name, limit)
	if asked != nil {
		cause = fmt.Sprintf("%s could not be asked to shut down and was powered off: %v", n.Name, asked)
	}
	op.End(n.Name, daemonapi.PhaseStop, &daemonapi.Failure{Cause: cause, Log: c.dir.Console(n.Name)})
	return false
}

// powerOffLimit returns how long a guest may take to shut down.
func (c *core) powerOffLimit() time.Duration {
	if c.emulated() {
		return c.limits.PowerOff * emulatedFactor
	}
	return c.limits.PowerOff
}

// powerOff lets one guest shut down and reports whether its machine ended within limit. The
// error is why the guest could not be asked.
func (c *core) powerOff(ctx context.Context, n cluster.Node, limit time.Duration) (off bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = c.nodes.client(n).PowerOff(ctx)
	if err == nil {
		_ = c.machines.driver.Wait(ctx, n.Name)
	}
	off = !c.machines.running(context.WithoutCancel(ctx), n.Name)
	if !off {
		c.log.Warn("a node did not shut down", "node", n.Name, "limit", limit, "error", err)
	}
	return off, err
}
