package fleet

import (
	"context"
	"errors"
	"fmt"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Restart restarts one node, as "reboot" on it does, and waits until it is Ready.
func (f *Fleet) Restart(ctx context.Context, op *operation.Operation, name string) error {
	n, ok := f.state.find(name)
	if !ok {
		return operation.NoNode(name)
	}
	if f.Paused(ctx, name) {
		return daemonapi.Paused(f.state.spec().Name)
	}
	if err := f.faulty(name); err != nil {
		return err
	}
	node := f.nodes.client(n)
	before, err := node.Status(ctx)
	if err != nil {
		return err
	}
	if err := node.Restart(ctx); err != nil {
		return err
	}
	op.Begin(name, daemonapi.PhaseBoot, "restarting")
	// The machine may be gone for a moment, which is no fault here.
	if err := retry(ctx, f.limits.Boot, func(ctx context.Context) (bool, error) {
		now, err := node.Status(ctx)
		if err == nil && !restartedSince(before, now) {
			err = errors.New("its programs have not all started again")
		}
		return err == nil, err
	}); err != nil {
		return f.notRestarted(op, name, daemonapi.PhaseBoot, err)
	}
	op.End(name, daemonapi.PhaseBoot, nil)
	op.Begin(name, daemonapi.PhaseReady, "")
	if err := f.poll(ctx, n, f.limits.Ready, func(ctx context.Context) error { return f.ready(ctx, name) }); err != nil {
		return f.notRestarted(op, name, daemonapi.PhaseReady, err)
	}
	op.End(name, daemonapi.PhaseReady, nil)
	return nil
}

func (c *core) notRestarted(op *operation.Operation, name string, phase daemonapi.Phase, err error) error {
	failure := &daemonapi.Failure{
		Cause: fmt.Sprintf(causes[phase], name, err), Log: "skiff logs " + name,
		Hint: "run \"skiff up\" to repair the cluster",
	}
	op.End(name, phase, failure)
	return failure
}

// restartedSince reports whether a node runs programs and started all of them
// after before. A program that is not running may have finished its work.
func restartedSince(before, now nodeapi.Status) bool {
	running := 0
	for _, p := range now.Programs {
		if p.PID != 0 && !p.Started.After(before.Time) {
			return false
		}
		if p.PID != 0 {
			running++
		}
	}
	return running > 0
}
