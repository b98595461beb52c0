package cluster

import (
	"slices"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/machine"
)

// Observed is the observed state of a cluster.
type Observed struct {
	// Prepared is true if the cluster has certificates.
	Prepared bool
	// Open is true if a daemon serves the cluster's network and machines.
	Open bool
	// Machines that exist, and those that may exist, by name.
	Machines map[string]machine.State
	// Ended is how a machine ended by itself, by name.
	Ended map[string]string
	// Ready has an entry for each registered node: whether it is Ready.
	Ready map[string]bool
	// Restoring is true if a restore of etcd was interrupted.
	Restoring bool
	// Components are the settings of Kubernetes' components in force.
	Components nodeconfig.Components
	// APIReady is true if the Kubernetes API answers.
	APIReady bool
}

// Plan returns the steps that bring a cluster from the observed state to spec;
// none if there is nothing to do. The same steps are shown by a dry run and
// executed.
func Plan(spec Spec, observed Observed) []Step {
	p := planner{observed: observed}
	for _, n := range Nodes(spec) {
		p.desired = append(p.desired, n.Name)
		if n.Role == nodeconfig.RoleControlPlane {
			p.controlPlanes = append(p.controlPlanes, n.Name)
		}
	}
	for _, name := range sorted(observed.Machines) {
		if !slices.Contains(p.desired, name) {
			p.surplus = append(p.surplus, name)
		}
	}
	if !observed.Open {
		p.add(ActionPrepare, "", p.prepareReason())
	}
	p.run()
	changed := observed.Prepared && !observed.Components.Same(spec.Kubernetes)
	// If all machines run, the settings in force may be why some do not answer.
	first := changed && p.allRun()
	if first {
		p.configure()
	}
	p.serve()
	p.join()
	if changed && !first {
		p.configure(ids(ActionWait, p.desired)...)
	}
	p.remove()
	return p.steps
}

// ResumePlan returns the steps of Plan that let a paused cluster continue. It
// starts no machine.
func ResumePlan(spec Spec, observed Observed) []Step {
	var p planner
	for _, step := range Plan(spec, observed) {
		paused := observed.Machines[step.Node] == machine.StatePaused
		switch step.Action {
		case ActionResume, ActionServe:
		case ActionJoin, ActionWait:
			if !paused {
				continue
			}
		default:
			continue
		}
		p.add(step.Action, step.Node, step.Reason, step.After...)
	}
	if len(p.steps) == 1 && p.steps[0].Action == ActionServe {
		return nil
	}
	return p.steps
}

type planner struct {
	observed      Observed
	desired       []string // names of nodes, control planes first
	controlPlanes []string // those among desired
	surplus       []string // machines that are not desired, sorted
	steps         []Step
}

// add appends a step. Of after, those that are not in the plan are already done.
func (p *planner) add(action Action, node, reason string, after ...string) {
	step := Step{Action: action, Node: node, Reason: reason}
	for _, id := range after {
		if p.has(id) {
			step.After = append(step.After, id)
		}
	}
	p.steps = append(p.steps, step)
}

func (p *planner) has(id string) bool {
	return slices.ContainsFunc(p.steps, func(s Step) bool { return s.ID() == id })
}

func (p *planner) prepareReason() string {
	if p.observed.Prepared {
		return "stopped"
	}
	return "new cluster"
}

func (p *planner) state(name string) machine.State {
	if state, ok := p.observed.Machines[name]; ok {
		return state
	}
	return machine.StateAbsent
}

// run adds the steps until every machine that is needed runs and answers.
func (p *planner) run() {
	prepare := id(ActionPrepare, "")
	for _, name := range slices.Concat(p.desired, p.surplus) {
		if p.state(name) == machine.StatePaused {
			p.add(ActionResume, name, string(machine.StatePaused), prepare)
		}
	}
	for _, name := range p.desired {
		if p.state(name) == machine.StateAbsent {
			p.add(ActionCreate, name, "new", prepare)
		}
	}
	for _, name := range p.desired {
		if state := p.state(name); state == machine.StateAbsent || state == machine.StateStopped {
			// Workers wait for control planes, so that these boot first on a busy host.
			p.add(ActionStart, name, p.startReason(name), slices.Concat([]string{prepare, id(ActionCreate, name)}, p.startsBefore(name))...)
		}
	}
	for _, name := range p.surplus {
		if IsControlPlane(name) && p.state(name) == machine.StateStopped && (!p.observed.APIReady || p.observed.Restoring) {
			// The members that stay may not be a majority without its vote.
			p.add(ActionStart, name, "still votes in etcd", prepare)
		}
	}
	for _, name := range slices.Concat(p.desired, p.surplus) {
		if p.has(id(ActionStart, name)) || p.state(name) == machine.StateRunning && p.silent(name) {
			p.add(ActionBoot, name, "", id(ActionStart, name))
		}
	}
}

func (p *planner) startReason(name string) string {
	if ended := p.observed.Ended[name]; ended != "" {
		return "stopped by itself: " + ended
	}
	return string(p.state(name))
}

func (p *planner) startsBefore(name string) []string {
	var starts []string
	if !slices.Contains(p.controlPlanes, name) {
		starts = ids(ActionStart, p.controlPlanes)
	}
	return starts
}

// silent reports whether nobody has heard of a desired node: the API does not
// answer, or the node has not registered.
func (p *planner) silent(name string) bool {
	_, registered := p.observed.Ready[name]
	return slices.Contains(p.desired, name) && !(p.observed.APIReady && registered)
}

// serve adds the wait for the API server if a node has to join, leave or become
// Ready.
func (p *planner) serve() {
	joins := slices.ContainsFunc(p.desired, func(name string) bool { return !p.ready(name) })
	if !joins && len(p.surplus) == 0 && !p.observed.Restoring {
		return
	}
	reason := "nodes change"
	if !p.observed.APIReady {
		reason = "API not ready"
	}
	members := slices.Concat(p.controlPlanes, slices.DeleteFunc(slices.Clone(p.surplus), func(name string) bool { return !IsControlPlane(name) }))
	after := slices.Concat([]string{id(ActionPrepare, ""), id(ActionConfigure, "")}, ids(ActionResume, members), ids(ActionBoot, members))
	if p.observed.Restoring {
		p.add(ActionRestore, "", "was interrupted", after...)
		after = append(after, id(ActionRestore, ""))
	}
	p.add(ActionServe, "", reason, after...)
}

// allRun reports whether the machines of all desired nodes run.
func (p *planner) allRun() bool {
	return !slices.ContainsFunc(p.desired, func(name string) bool { return p.state(name) != machine.StateRunning })
}

// configure adds the step that puts other settings of Kubernetes' components in force.
func (p *planner) configure(after ...string) {
	boots := ids(ActionBoot, slices.Concat(p.desired, p.surplus))
	p.add(ActionConfigure, "", "the settings of Kubernetes changed", slices.Concat([]string{id(ActionPrepare, "")}, boots, after)...)
}

func (p *planner) ready(name string) bool {
	return p.state(name) == machine.StateRunning && p.observed.APIReady && p.observed.Ready[name]
}

func (p *planner) join() {
	serve := id(ActionServe, "")
	for _, name := range p.desired {
		if p.state(name) != machine.StateRunning || p.silent(name) {
			p.add(ActionJoin, name, "", serve, id(ActionConfigure, ""), id(ActionResume, name), id(ActionBoot, name))
		}
	}
	for _, name := range p.desired {
		if !p.ready(name) {
			p.add(ActionWait, name, "not Ready", serve, id(ActionConfigure, ""), id(ActionResume, name), id(ActionJoin, name))
		}
	}
}

// remove adds the removal of surplus nodes: workers all at once, control planes
// one after another, the last first, so that etcd always has a majority.
func (p *planner) remove() {
	const reason = "no longer part of the cluster"
	previous := ""
	for _, name := range slices.Backward(p.surplus) {
		after := []string{id(ActionServe, ""), id(ActionResume, name), id(ActionBoot, name)}
		if IsControlPlane(name) {
			after = append(after, previous)
			previous = id(ActionDelete, name)
		}
		p.add(ActionDrain, name, reason, append(after, id(ActionConfigure, ""))...)
		if IsControlPlane(name) {
			p.add(ActionLeave, name, reason, id(ActionDrain, name))
		}
		p.add(ActionDelete, name, reason, id(ActionDrain, name), id(ActionLeave, name))
	}
}

func id(action Action, node string) string { return Step{Action: action, Node: node}.ID() }

func ids(action Action, nodes []string) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, id(action, n))
	}
	return all
}

// Union returns names and those of the nodes in spec, each once.
func Union(names []string, spec Spec) []string {
	all := slices.Clone(names)
	for _, n := range Nodes(spec) {
		if !slices.Contains(all, n.Name) {
			all = append(all, n.Name)
		}
	}
	return all
}
