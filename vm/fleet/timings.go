package fleet

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
)

// timelineLimit bounds how long nodes may take to report their start.
const timelineLimit = 5 * time.Second

// recordTimings writes how long an operation took, with the timelines of the nodes that it
// has started.
func (f *Fleet) recordTimings(ctx context.Context, op *operation.Operation) error {
	timings := op.Timings(time.Now())
	timings.Timelines = f.timelines(ctx, op, timings)
	content, err := json.MarshalIndent(timings, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(f.dir.Timings(), append(content, '\n'), 0o600)
}

// timelines returns the timelines of nodes that an operation has booted. One that does not
// answer has none.
func (f *Fleet) timelines(ctx context.Context, op *operation.Operation, timings operation.Timings) map[string][]operation.Moment {
	ctx, cancel := context.WithTimeout(ctx, timelineLimit)
	defer cancel()
	all := map[string][]operation.Moment{}
	var mu sync.Mutex // guards all
	f.nodes.each(ctx, func(n cluster.Node) {
		if _, booted := timings.Nodes[n.Name][string(daemonapi.PhaseBoot)]; !booted {
			return
		}
		usage, err := f.machines.driver.Usage(ctx, n.Name)
		if err != nil || usage.Started.IsZero() {
			return
		}
		guest := operation.Guest{Started: usage.Started, Sent: time.Now()}
		if guest.Status, err = f.nodes.client(n).Status(ctx); err != nil {
			f.log.Debug("a node does not report its start", "node", n.Name, "error", err)
			return
		}
		guest.Received = time.Now()
		timeline := op.Timeline(n.Name, guest)
		mu.Lock()
		defer mu.Unlock()
		all[n.Name] = timeline
	})
	return all
}
