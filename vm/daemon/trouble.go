package daemon

import (
	"context"
	"fmt"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// fail says that a phase of a node failed, and what to look at.
func (a *apply) fail(ctx context.Context, node string, phase daemonapi.Phase, err error) error {
	if ctx.Err() != nil {
		return err // somebody else failed, or we were stopped
	}
	failure := &daemonapi.Failure{Hint: "run \"skiff up\" again to go on from here"}
	what := map[daemonapi.Phase]string{
		daemonapi.PhaseBoot:         "%s did not boot: %v",
		daemonapi.PhaseControlPlane: "the control plane on %s did not become ready: %v",
		daemonapi.PhaseJoin:         "%s did not join: %v",
		daemonapi.PhaseReady:        "%s did not become Ready: %v",
		daemonapi.PhaseDelete:       "%s could not be removed: %v",
		daemonapi.PhaseResume:       "%s did not go on: %v",
	}[phase]
	failure.Cause = fmt.Sprintf(what, node, err)
	failure.Log = a.dir.Console(node)
	if phase != daemonapi.PhaseBoot {
		if program := a.troubled(ctx, node); program != "" {
			failure.Cause += "; " + program
		}
		failure.Log = fmt.Sprintf("skiff logs %s", node)
	}
	event := node
	if phase == daemonapi.PhaseControlPlane {
		event = ""
	}
	a.op.End(event, phase, failure)
	return failure
}

// troubled names a program of the node that does not stay up.
func (a *apply) troubled(ctx context.Context, name string) string {
	address, ok := a.address(name)
	if !ok {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, pollAttempt)
	defer cancel()
	status, err := a.nodes.Node(name, address).Status(ctx)
	if err != nil {
		return "the node does not answer: " + err.Error()
	}
	for _, program := range status.Programs {
		if program.LastExit != "" {
			return fmt.Sprintf("%s ended %d times, last: %s", program.Name, program.Restarts, program.LastExit)
		}
	}
	return ""
}
