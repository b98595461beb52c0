package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/autoscale"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/repair"
)

// scalePeriod is how often the autoscaler looks at a cluster with groups that are scaled. If
// nodes are removed after a short time, it does so more often.
const scalePeriod = 5 * time.Second

// watchRoom adds the nodes that pods need, and removes those that are not needed.
func (d *daemon) watchRoom(life context.Context) {
	var decider autoscale.Decider
	var observed *fleet.Fleet // by decider
	last := time.Now()
	for {
		f, period, idle := d.open(), healthPeriod, time.Duration(0)
		if f == nil {
			period = openPeriod
		} else if idle = f.ScaleIdle(); idle > 0 {
			period = min(scalePeriod, idle/minChecks)
		}
		if pause.For(life, period) != nil {
			return
		}
		now := time.Now()
		elapsed, _ := repair.Elapsed(now.Round(0).Sub(last.Round(0)), now.Sub(last), period)
		last = now
		if f == nil || idle == 0 || f != d.open() || f != observed {
			decider, observed = autoscale.Decider{}, f
			continue
		}
		if !d.changing() {
			d.look(life, f, &decider, elapsed, idle)
		}
		last = time.Now() // what was done took its time
	}
}

// look lets the decider observe the cluster, and carries out what it decides.
func (d *daemon) look(life context.Context, f *fleet.Fleet, decider *autoscale.Decider, elapsed, idle time.Duration) {
	seen, err := f.Room(life)
	if err != nil {
		d.log.Debug("the autoscaler does not see the cluster", "error", err)
		return
	}
	seen.Elapsed = elapsed
	action, due := decider.Next(seen, idle)
	if !due {
		return
	}
	op := d.beginOwn(life, f, operation.KindScale, func(ctx context.Context, op *operation.Operation) (string, error) {
		err := f.Scale(ctx, op, action)
		decider.Done(action, err != nil && !errors.Is(context.Cause(ctx), operation.ErrUser))
		return action.Reason, err
	})
	if op != nil {
		<-op.Done()
	}
}
