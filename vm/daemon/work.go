package daemon

import (
	"context"
	"fmt"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
)

// active is the work that is being done, nil if none is. The caller holds d.mu.
func (d *daemon) active() *operation.Operation {
	if d.working == nil || !d.working.Running() {
		return nil
	}
	return d.working
}

// unavailable says why the open cluster cannot be worked on now. The caller
// holds d.mu.
func (d *daemon) unavailable() *daemonapi.Failure {
	switch active := d.active(); {
	case d.leaving != nil:
		return &daemonapi.Failure{Cause: operation.ErrDown.Error()}
	case active != nil:
		return operation.Busy(active.Kind())
	case d.cluster == nil:
		return operation.Stopped()
	}
	return nil
}

// begin starts work on the open cluster, or joins it if just that is being done.
// do says what came of it.
func (d *daemon) begin(kind operation.Kind, do func(ctx context.Context, c *running, op *operation.Operation) (string, error)) (*operation.Operation, *daemonapi.Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if active := d.active(); d.leaving == nil && active != nil && active.Kind() == kind {
		return active, nil
	}
	if failure := d.unavailable(); failure != nil {
		return nil, failure
	}
	ctx, cancel := context.WithCancelCause(d.life)
	op := operation.New(kind, cancel)
	d.working, d.wanted = op, nil
	c := d.cluster
	d.tasks.Go(func() {
		defer cancel(nil)
		op.Begin("", daemonapi.PhaseCluster, "")
		message, err := do(ctx, c, op)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("interrupted: %w", cause)
			}
			d.log.Error("work on the cluster failed", "kind", kind, "error", err)
			op.Finish("", operation.AsFailure(err, d.dir.Log()))
			return
		}
		d.log.Info("work on the cluster is done", "kind", kind, "message", message)
		op.Finish(message, nil)
	})
	return op, nil
}
