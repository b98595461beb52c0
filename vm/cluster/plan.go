package cluster

import (
	"github.com/skiff-dev/skiff/vm/machine"
)

// Observed is what is seen of a cluster.
type Observed struct {
	// Prepared says that the cluster has its certificates.
	Prepared bool
	// Machines that exist, and those that may, by name.
	Machines map[string]machine.State
	// Ended says how a machine ended by itself, by name.
	Ended map[string]string
	// Ready are the nodes that Kubernetes calls Ready.
	Ready map[string]bool
	// APIReady says that the Kubernetes API answers.
	APIReady bool
}

// Plan is what leads from observed to spec; empty if there is nothing to do.
func Plan(spec Spec, observed Observed) []Step {
	var prepare, create, resume, start, drain, leave, remove, wait []Step
	if !observed.Prepared {
		prepare = append(prepare, Step{Action: ActionPrepare, Reason: "new cluster"})
	}
	wanted := map[string]bool{}
	for _, n := range Nodes(spec) {
		wanted[n.Name] = true
		state := observed.Machines[n.Name]
		if state == "" {
			state = machine.StateAbsent
		}
		if state == machine.StateAbsent {
			create = append(create, Step{Action: ActionCreate, Node: n.Name, Reason: "new"})
		}
		switch state {
		case machine.StateRunning:
		case machine.StatePaused:
			resume = append(resume, Step{Action: ActionResume, Node: n.Name, Reason: string(state)})
		default:
			reason := string(state)
			if ended := observed.Ended[n.Name]; ended != "" {
				reason = "stopped by itself: " + ended
			}
			start = append(start, Step{Action: ActionStart, Node: n.Name, Reason: reason})
		}
		if state != machine.StateRunning || !observed.APIReady || !observed.Ready[n.Name] {
			wait = append(wait, Step{Action: ActionWait, Node: n.Name, Reason: "not Ready"})
		}
	}
	for _, name := range sorted(observed.Machines) {
		if wanted[name] {
			continue
		}
		const reason = "not wanted any more"
		if observed.Machines[name] == machine.StatePaused {
			resume = append(resume, Step{Action: ActionResume, Node: name, Reason: string(machine.StatePaused)})
		}
		drain = append(drain, Step{Action: ActionDrain, Node: name, Reason: reason})
		remove = append(remove, Step{Action: ActionDelete, Node: name, Reason: reason})
		if IsControlPlane(name) {
			leave = append(leave, Step{Action: ActionLeave, Node: name, Reason: reason})
			// Those that stay may need its vote to let it go.
			if observed.Machines[name] == machine.StateStopped && !observed.APIReady {
				start = append(start, Step{Action: ActionStart, Node: name, Reason: "has a vote until it has left"})
			}
		}
	}
	var plan []Step
	for _, steps := range [][]Step{prepare, create, resume, start, drain, leave, remove, wait} {
		plan = append(plan, steps...)
	}
	return plan
}
