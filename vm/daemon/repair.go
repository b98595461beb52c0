package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/repair"
)

const (
	// healthPeriod is how often nodes are checked. If they are repaired after a short time,
	// they are checked more often.
	healthPeriod = 15 * time.Second
	// openPeriod is how often to check whether the cluster is open.
	openPeriod = time.Second
	// minChecks is how often a node is checked, at least, before it is repaired.
	minChecks = 6
)

// watchNodes repairs nodes that have been unhealthy for a long time.
func (d *daemon) watchNodes(life context.Context) {
	var decider repair.Decider
	var observed *fleet.Fleet // by decider
	last := time.Now()
	for {
		f, period, after := d.open(), healthPeriod, time.Duration(0)
		if f == nil {
			period = openPeriod
		} else {
			after = f.RepairAfter()
		}
		if after > 0 {
			period = min(period, after/minChecks)
		}
		if pause.For(life, period) != nil {
			return
		}
		now := time.Now()
		elapsed, stalled := repair.Elapsed(now.Round(0).Sub(last.Round(0)), now.Sub(last), period)
		last = now
		if f == nil || after == 0 || f != d.open() || f != observed {
			decider, observed = repair.Decider{}, f
			continue
		}
		if action, due := d.check(life, f, &decider, elapsed, stalled, after); due {
			op := d.beginOwn(life, f, operation.KindRepair, func(ctx context.Context, op *operation.Operation) (string, error) {
				return action.Node, f.Repair(ctx, op, action)
			})
			if op != nil {
				<-op.Done()
			}
		}
	}
}

// check lets the decider observe the nodes, and returns the repair that is due.
func (d *daemon) check(life context.Context, f *fleet.Fleet, decider *repair.Decider, elapsed time.Duration, stalled bool, after time.Duration) (repair.Action, bool) {
	nodes := f.Health(life)
	observation := repair.Observation{Elapsed: elapsed, Disturbed: stalled || len(nodes) == 0 || d.changing(), Nodes: nodes}
	if !observation.Disturbed && slices.ContainsFunc(nodes, func(n repair.Node) bool { return n.Problem != "" }) {
		if elapsed > 0 && d.config.Busy() {
			observation.Elapsed = 0
		}
		addVolumes(life, f, nodes)
	}
	return decider.Next(observation, after)
}

// addVolumes adds the local volumes of unhealthy nodes. It asks for all at once: an API that
// does not answer would delay the next check so much that the host would seem to have slept.
func addVolumes(ctx context.Context, f *fleet.Fleet, nodes []repair.Node) {
	var asked sync.WaitGroup
	for i := range nodes {
		if n := &nodes[i]; n.Problem != "" {
			asked.Go(func() {
				claims, err := f.LocalClaims(ctx, n.Name)
				n.Volumes, n.VolumesKnown = claims, err == nil
			})
		}
	}
	asked.Wait()
}

// changing reports whether a change is running, during which nodes may be unhealthy.
func (d *daemon) changing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leaving != nil || d.active() != nil
}

// beginOwn begins a change that no user asked for. It returns nil if another one has begun
// meanwhile.
func (d *daemon) beginOwn(life context.Context, f *fleet.Fleet, kind operation.Kind, do func(context.Context, *operation.Operation) (string, error)) *operation.Operation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unavailable() != nil || d.fleet != f {
		return nil
	}
	return d.start(life, kind, nil, do)
}

// yield ends a repair, a change of the autoscaler or the removal of another cluster's keys, and
// waits while an unused cluster is paused or resumed, so that a change that a user asks for can
// begin. What was ended begins again later if it is still needed then.
func (d *daemon) yield() {
	d.mu.Lock()
	active := d.active()
	d.mu.Unlock()
	if active == nil {
		return
	}
	switch active.Kind() {
	case operation.KindRepair, operation.KindScale, operation.KindForget:
		active.Cancel(operation.ErrUser)
		<-active.Done()
	case operation.KindSleep, operation.KindWake:
		<-active.Done()
	}
}
