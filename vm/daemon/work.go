package daemon

import (
	"context"
	"fmt"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// work is what the daemon does to its cluster, one at a time.
type work string

const (
	workApply  work = "apply"
	workRotate work = "rotate the key of secrets"
	workPause  work = "pause"
	workResume work = "resume"
)

// busyWith says to people which work hinders them.
func busyWith(active *operation) *daemonapi.Failure {
	return &daemonapi.Failure{Hint: "wait until that is done", Cause: map[work]string{
		workApply:  "the cluster is just being changed",
		workRotate: "the key of secrets is just being rotated",
		workPause:  "the cluster is just being paused",
		workResume: "the cluster is just being resumed",
	}[active.work]}
}

// active is the work that is being done, nil if none is. The caller holds d.mu.
func (d *daemon) active() *operation {
	if d.working == nil || over(d.working) {
		return nil
	}
	return d.working
}

// unavailable says why the open cluster cannot be worked on now. The caller
// holds d.mu.
func (d *daemon) unavailable() *daemonapi.Failure {
	switch active := d.active(); {
	case d.leaving != nil:
		return &daemonapi.Failure{Cause: errDown.Error()}
	case active != nil:
		return busyWith(active)
	case d.cluster == nil:
		return &daemonapi.Failure{Cause: "the cluster is stopped", Hint: "start it with \"skiff up\""}
	}
	return nil
}

// begin starts work on the open cluster, or joins it if just that is being done.
// do says what came of it.
func (d *daemon) begin(work work, do func(ctx context.Context, c *running, op *operation) (string, error)) (*operation, *daemonapi.Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if active := d.active(); d.leaving == nil && active != nil && active.work == work {
		return active, nil
	}
	if failure := d.unavailable(); failure != nil {
		return nil, failure
	}
	ctx, cancel := context.WithCancelCause(d.life)
	op := newOperation(work, cancel)
	d.working, d.wanted = op, nil
	c := d.cluster
	d.tasks.Go(func() {
		defer cancel(nil)
		op.begin("", daemonapi.PhaseCluster, "")
		message, err := do(ctx, c, op)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("interrupted: %w", cause)
			}
			d.log.Error("work on the cluster failed", "work", work, "error", err)
			op.finish(daemonapi.PhaseCluster, "", asFailure(err, d.dir.Log()))
			return
		}
		d.log.Info("work on the cluster is done", "work", work, "message", message)
		op.finish(daemonapi.PhaseCluster, message, nil)
	})
	return op, nil
}
