package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
)

// Polling: the pause between two attempts, which grows with what they cost, and how long one
// may take.
const (
	pollLeast   = 20 * time.Millisecond
	pollMost    = 100 * time.Millisecond
	pollAttempt = 5 * time.Second
)

// poll tries until it succeeds. It gives up at limit, with the last error, and at
// once when the machine of n has ended.
func (c *core) poll(ctx context.Context, n cluster.Node, limit time.Duration, try func(context.Context) error) error {
	return retry(ctx, limit, func(ctx context.Context) (bool, error) {
		err := try(ctx)
		if err == nil {
			return true, nil
		}
		if state, stateErr := c.machines.driver.State(ctx, n.Name); stateErr == nil && state != machine.StateRunning {
			return true, endedError{state, c.machines.endedReason(n.Name)}
		}
		return false, err
	})
}

// endedError is returned for a node whose machine is not running.
type endedError struct {
	state  machine.State
	reason string // empty if the machine did not end by itself
}

func (e endedError) Error() string {
	if e.reason != "" {
		return "its machine stopped by itself: " + e.reason
	}
	return "its machine is " + string(e.state)
}

// retry calls try until it returns true, and returns its error. It gives up at
// limit with the last error.
func retry(ctx context.Context, limit time.Duration, try func(context.Context) (bool, error)) error {
	whole, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		begun := time.Now()
		attempt, cancel := context.WithTimeout(ctx, pollAttempt)
		done, last := try(attempt)
		cancel()
		if done {
			return last
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-whole.Done():
			return fmt.Errorf("timed out after %s: %w", limit, last)
		case <-time.After(pause.Between(time.Since(begun), pollLeast, pollMost)):
		}
	}
}

var causes = map[daemonapi.Phase]string{
	daemonapi.PhaseClear:        "the faults could not be ended, on %s and perhaps others: %v",
	daemonapi.PhaseBoot:         "%s did not boot: %v",
	daemonapi.PhaseRestore:      "the interrupted restore that began on %s could not be ended: %v",
	daemonapi.PhaseControlPlane: "the control plane on %s did not become ready: %v",
	daemonapi.PhaseAdopt:        "the objects of the cluster still name the other cluster's authorities; first tried on %s: %v",
	daemonapi.PhaseJoin:         "%s did not join: %v",
	daemonapi.PhaseReady:        "%s did not become Ready: %v",
	daemonapi.PhaseSnapshot:     "the database was not saved, so no node was upgraded; first tried on %s: %v",
	daemonapi.PhaseDrain:        "%s could not be drained: %v",
	daemonapi.PhaseDelete:       "%s could not be removed: %v",
	daemonapi.PhaseResume:       "%s did not resume: %v",
	daemonapi.PhaseLabel:        "the labels and taints of %s were not set: %v",
	daemonapi.PhaseSimulate:     "the number of simulated nodes did not change: %[2]v",
	daemonapi.PhaseGrow:         "the disk of %s did not grow: %v",
	daemonapi.PhaseStop:         "%s did not shut down: %v",
	daemonapi.PhaseRestart:      "%s did not restart: %v",
	daemonapi.PhaseReplace:      "%s was not replaced: %v",
	daemonapi.PhaseUncordon:     "%s still takes no new pods: %v",
	daemonapi.PhaseConfigure:    "the settings of Kubernetes were not applied; the control plane on %s may not have them: %v",
}

// final is a failure that tells users everything, so that fail adds nothing to it.
type final struct{ *daemonapi.Failure }

func (f final) Unwrap() error { return f.Failure }

// fail records that a phase failed and returns the failure, which names what to
// look at. node is empty for the control plane as a whole.
func (e *executor) fail(ctx context.Context, node string, phase daemonapi.Phase, err error) error {
	if ctx.Err() != nil {
		return err // another step failed, or the operation was canceled
	}
	var whole final
	if errors.As(err, &whole) {
		e.op.End(node, phase, whole.Failure)
		return whole.Failure
	}
	name := node
	if name == "" {
		name = e.state.desired()[0].Name
	}
	failure := &daemonapi.Failure{
		Cause: fmt.Sprintf(causes[phase], name, err), Log: e.dir.Console(name),
		Hint: "run \"skiff up\" again to continue from here",
	}
	if phase != daemonapi.PhaseBoot {
		if problem := e.nodes.troubled(ctx, name); problem != "" {
			failure.Cause += "; " + problem
		}
		failure.Log = "skiff logs " + name
	}
	e.op.End(node, phase, failure)
	return failure
}
