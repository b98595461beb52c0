package cluster

import (
	"slices"
	"strings"

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
	// Known is what the host remembers of them.
	Known []Machine
	// Sizes are the CPUs and the memory of machines that have a process or are saved, by
	// name.
	Sizes map[string]Size
	// Marks has the labels and taints of each registered node.
	Marks map[string]Marks
	// Ended is how a machine ended by itself, by name.
	Ended map[string]string
	// Ready has an entry for each registered node: whether it is Ready.
	Ready map[string]bool
	// Faults are the IDs of the faults that are active on purpose.
	Faults []string
	// Upgrade is the upgrade in the cluster's state; nil if there is none.
	Upgrade *Upgrade
	// Restoring is true if a restore of etcd was interrupted.
	Restoring bool
	// Components are the settings of Kubernetes' components in force, Kubelets the
	// additional settings of kubelets, by group.
	Components nodeconfig.Components
	Kubelets   map[string]map[string]any
	// Changing is true if a change of these settings was interrupted.
	Changing bool
	// Adopting is true if the cluster was made from a snapshot and has not worked yet.
	Adopting bool
	// APIReady is true if the Kubernetes API answers.
	APIReady bool
	// Simulated is the number of simulated nodes, or how many there may be while the API
	// does not answer.
	Simulated int
}

// Plan returns the steps that bring a cluster from the observed state to spec;
// none if there is nothing to do. The same steps are shown by a dry run and
// executed.
func Plan(spec Spec, observed Observed) []Step {
	p := planner{spec: spec, observed: observed, nodes: map[string]Node{}, unready: spec.Network.Without().PodNetwork}
	for _, n := range Nodes(spec, observed.Known) {
		p.nodes[n.Name] = n
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
	if len(observed.Faults) > 0 {
		p.add(ActionClear, "", "active: "+strings.Join(observed.Faults, ", "))
	}
	p.run()
	changed := observed.Prepared && (observed.Changing || !observed.Components.Same(spec.Kubernetes) || changedKubelets(spec, observed))
	// If all machines run, the settings in force may be why some do not answer.
	first := changed && p.allRun()
	if first {
		p.configure()
	}
	p.serve()
	if observed.Adopting {
		p.add(ActionAdopt, "", "made from a snapshot", id(ActionPrepare, ""), id(ActionServe, ""))
	}
	p.join()
	if changed && !first {
		p.configure(ids(ActionWait, p.desired)...)
	}
	p.label()
	p.remove(p.roll())
	p.simulate()
	return p.steps
}

// ResumePlan returns the steps of Plan that let a paused cluster continue. It
// starts no machine.
func ResumePlan(spec Spec, observed Observed) []Step {
	var p planner
	for _, step := range Plan(spec, observed) {
		paused := observed.Machines[step.Node] == machine.StatePaused
		switch step.Action {
		case ActionServe:
		case ActionResume, ActionJoin, ActionWait:
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
	spec          Spec
	observed      Observed
	nodes         map[string]Node // the desired ones by name
	desired       []string        // their names, control planes first
	controlPlanes []string        // those among desired
	surplus       []string        // machines that are not desired, sorted
	unready       bool            // nodes are NotReady until users install a pod network
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

// state returns the state of a machine. A machine that will be stopped first counts as
// stopped, and so does one whose saved memory will not be used.
func (p *planner) state(name string) machine.State {
	state, ok := p.observed.Machines[name]
	switch {
	case !ok:
		return machine.StateAbsent
	case p.stopsFirst(name), p.discards(name):
		return machine.StateStopped
	}
	return state
}

// run adds the steps until every machine that is needed runs and answers.
func (p *planner) run() {
	prepare, clear := id(ActionPrepare, ""), id(ActionClear, "")
	for _, name := range slices.Concat(p.desired, p.surplus) {
		if state := p.state(name); state == machine.StatePaused || state == machine.StateSaved {
			p.add(ActionResume, name, string(state), prepare, clear)
		}
	}
	for _, name := range p.desired {
		if p.state(name) == machine.StateAbsent {
			p.add(ActionCreate, name, "new", prepare)
		}
	}
	p.grow()
	for _, name := range p.desired {
		if p.stopsFirst(name) {
			p.add(ActionStop, name, p.resized(name), prepare, clear)
		}
	}
	for _, name := range p.desired {
		if state := p.state(name); state == machine.StateAbsent || state == machine.StateStopped && !p.replaced(name) {
			// Workers wait for control planes, so that these boot first on a busy host.
			p.add(ActionStart, name, p.startReason(name), slices.Concat([]string{prepare, clear, id(ActionCreate, name), id(ActionGrow, name), id(ActionStop, name)}, p.startsBefore(name))...)
		}
	}
	for _, name := range p.surplus {
		if IsControlPlane(name) && p.state(name) == machine.StateStopped && (!p.observed.APIReady || p.observed.Restoring) {
			// The members that stay may not be a majority without its vote.
			p.add(ActionStart, name, "still votes in etcd", prepare, clear)
		}
	}
	for _, name := range slices.Concat(p.desired, p.surplus) {
		if p.has(id(ActionStart, name)) || p.state(name) == machine.StateRunning && p.silent(name) && !p.replaced(name) {
			p.add(ActionBoot, name, "", clear, id(ActionStart, name))
		}
	}
}

func (p *planner) startReason(name string) string {
	if p.stopsFirst(name) {
		return p.resized(name)
	}
	if p.discards(name) {
		return "its saved memory cannot be used: " + p.resizing(name)
	}
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
	changes := slices.ContainsFunc(p.desired, func(name string) bool {
		return !p.ready(name) || p.rolls(name) || p.labelled(name) || p.cordoned(name)
	})
	if !changes && len(p.surplus) == 0 && !p.observed.Restoring && !p.simulates() {
		return
	}
	reason := "nodes change"
	if !p.observed.APIReady {
		reason = "API not ready"
	}
	members := slices.Concat(p.controlPlanes, slices.DeleteFunc(slices.Clone(p.surplus), func(name string) bool { return !IsControlPlane(name) }))
	after := slices.Concat([]string{id(ActionPrepare, ""), id(ActionClear, ""), id(ActionConfigure, "")}, ids(ActionResume, members), ids(ActionBoot, members))
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
	reason := "the settings of Kubernetes changed"
	if p.observed.Changing {
		reason = "a change of the settings of Kubernetes was interrupted"
	}
	p.add(ActionConfigure, "", reason, slices.Concat([]string{id(ActionPrepare, ""), id(ActionClear, "")}, boots, after)...)
}

// ready reports whether pods can run on a node, as far as Skiff is concerned.
func (p *planner) ready(name string) bool {
	ready, registered := p.observed.Ready[name]
	return p.state(name) == machine.StateRunning && p.observed.APIReady && (ready || registered && p.unready)
}

func (p *planner) join() {
	serve := id(ActionServe, "")
	for _, name := range p.desired {
		reason := ""
		if p.known(name).LacksImages {
			reason = "loaded images are copied"
		}
		if p.awaited(name) && (p.state(name) != machine.StateRunning || p.silent(name) || reason != "") {
			p.add(ActionJoin, name, reason, id(ActionClear, ""), serve, id(ActionConfigure, ""), id(ActionResume, name), id(ActionBoot, name))
		}
	}
	for _, name := range p.desired {
		if p.awaited(name) && !p.ready(name) && !p.unready {
			p.add(ActionWait, name, "not Ready", id(ActionClear, ""), serve, id(ActionConfigure, ""), id(ActionResume, name), id(ActionJoin, name))
		}
	}
}

// remove adds the removal of surplus nodes: workers all at once, control planes
// one after another, the last first, so that etcd always has a majority. It begins
// after the step with the ID rolled, if that is not empty.
func (p *planner) remove(rolled string) {
	const reason = "no longer part of the cluster"
	previous := ""
	for _, name := range slices.Backward(p.surplus) {
		after := append(ids(ActionLabel, p.desired), id(ActionServe, ""), id(ActionResume, name), id(ActionBoot, name), rolled)
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
