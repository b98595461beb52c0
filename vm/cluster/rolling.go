package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/vm/machine"
)

// known returns what the host remembers of a machine.
func (p *planner) known(name string) Machine {
	m, _ := findMachine(p.observed.Known, name)
	return m
}

// hasProcess reports whether a machine runs or is paused.
func (p *planner) hasProcess(name string) bool {
	state := p.observed.Machines[name]
	return state == machine.StateRunning || state == machine.StatePaused
}

// resized describes how the size of a machine that has a process has to change; it returns
// "" if the size stays.
func (p *planner) resized(name string) string {
	if !p.hasProcess(name) {
		return ""
	}
	return p.resizing(name)
}

// resizing describes how the desired size of a machine differs from the one that it was
// started with; it returns "" if that is the same or unknown.
func (p *planner) resizing(name string) string {
	was, ok := p.observed.Sizes[name]
	is := p.nodes[name].Size
	if !ok {
		return ""
	}
	var changes []string
	if was.CPUs != is.CPUs {
		changes = append(changes, fmt.Sprintf("%d → %d CPUs", was.CPUs, is.CPUs))
	}
	if was.MemoryMiB != is.MemoryMiB {
		changes = append(changes, fmt.Sprintf("%d → %d MiB of memory", was.MemoryMiB, is.MemoryMiB))
	}
	return strings.Join(changes, ", ")
}

// replaced reports whether a desired node's machine exists and must be replaced.
func (p *planner) replaced(name string) bool {
	state, exists := p.observed.Machines[name]
	return exists && state != machine.StateAbsent && p.known(name).Replacing
}

// stopsFirst reports whether a machine that gets another size is restarted at once instead
// of one after another: it does not work with its size, or that is unknown, so that draining
// it would fail. Workers may still run pods while the API does not answer.
func (p *planner) stopsFirst(name string) bool {
	if p.observed.Machines[name] != machine.StateRunning || p.resized(name) == "" || p.replaced(name) {
		return false
	}
	if IsControlPlane(name) {
		return !p.observed.APIReady
	}
	ready, registered := p.observed.Ready[name]
	return p.observed.APIReady && !(ready && registered)
}

// discards reports whether the saved memory of a machine will not be used: its size has
// changed, or it will be deleted.
func (p *planner) discards(name string) bool {
	if p.observed.Machines[name] != machine.StateSaved {
		return false
	}
	return !slices.Contains(p.desired, name) || p.replaced(name) || p.resizing(name) != ""
}

// rolls reports whether a node is restarted or replaced once all others are Ready.
func (p *planner) rolls(name string) bool {
	return p.replaced(name) || p.resized(name) != "" && !p.stopsFirst(name) || p.outdated(name) != ""
}

// awaited reports whether a node must become Ready before nodes are restarted one after
// another. A node that is replaced, or a control plane that does not work with its size, may
// never become Ready.
func (p *planner) awaited(name string) bool {
	return !p.rolls(name) || !p.replaced(name) && (!p.observed.APIReady || p.state(name) != machine.StateRunning)
}

// cordoned reports whether Skiff keeps new pods off a desired node.
func (p *planner) cordoned(name string) bool { return p.known(name).Cordoned }

// labelled reports whether the labels or taints of a node must be set.
func (p *planner) labelled(name string) bool {
	recorded, ok := findMachine(p.observed.Known, name)
	if !ok || p.state(name) == machine.StateAbsent { // the record may be of an earlier machine
		recorded = NewMachine(p.spec, p.nodes[name])
	}
	actual, registered := p.observed.Marks[name]
	return MarksOf(p.spec, name).differ(recorded, actual, registered)
}

// differ reports whether marks must be set: they differ from those that Skiff has set, or
// the registered node lacks some of them. Users may remove the taint of control planes.
func (m Marks) differ(recorded Machine, actual Marks, registered bool) bool {
	if !maps.Equal(m.Labels, recorded.Labels) || !sameSet(m.Taints, recorded.Taints) {
		return true
	}
	if !registered {
		return false
	}
	for name, value := range m.Labels {
		if has, ok := actual.Labels[name]; !ok || has != value {
			return true
		}
	}
	return slices.ContainsFunc(m.Taints, func(taint string) bool {
		return taint != RoleTaint && !slices.Contains(actual.Taints, taint)
	})
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// label adds the steps that set labels and taints, before a restart moves pods. Control
// planes get theirs once there are workers that can run pods.
func (p *planner) label() {
	for _, name := range p.desired {
		if !p.labelled(name) || p.replaced(name) {
			continue
		}
		after := []string{id(ActionClear, ""), id(ActionServe, ""), id(ActionResume, name), id(ActionJoin, name)}
		if IsControlPlane(name) {
			after = append(after, ids(ActionWait, p.desired)...)
		}
		p.add(ActionLabel, name, "labels or taints differ", after...)
	}
}

// grow adds the steps that enlarge disks.
func (p *planner) grow() {
	for _, name := range p.desired {
		known, is := p.known(name).DiskMiB, p.nodes[name].Size.DiskMiB
		if p.state(name) == machine.StateAbsent || p.replaced(name) || known == 0 || known >= is {
			continue
		}
		p.add(ActionGrow, name, fmt.Sprintf("%d → %d MiB of disk", known, is), id(ActionPrepare, ""), id(ActionResume, name))
	}
}

// roll adds the restart of nodes that get another size or image, and the replacement of
// nodes: one node after another, control planes first, each once all others are Ready. It returns the
// ID of the last step, empty if there is none.
func (p *planner) roll() string {
	last := ""
	waits := slices.Concat(ids(ActionWait, p.desired), ids(ActionLabel, p.desired), []string{id(ActionClear, ""), id(ActionServe, ""), id(ActionConfigure, "")})
	waits = append(waits, p.save(waits))
	for _, name := range p.desired {
		after := append(slices.Clone(waits), last, id(ActionGrow, name), id(ActionResume, name))
		if !p.rolls(name) {
			if p.cordoned(name) {
				p.add(ActionUncordon, name, "was drained", id(ActionServe, ""), id(ActionJoin, name), id(ActionWait, name))
			}
			continue
		}
		action, reason := ActionRestart, p.restartReason(name)
		if p.replaced(name) {
			action, reason = ActionReplace, "replaced"
		}
		drained := p.drains(name)
		if drained {
			p.add(ActionDrain, name, reason, after...)
		}
		after = append(after, id(ActionDrain, name))
		if action == ActionReplace && IsControlPlane(name) {
			p.add(ActionLeave, name, reason, after...)
			after = append(after, id(ActionLeave, name))
		}
		p.add(action, name, reason, after...)
		last = id(action, name)
		if action == ActionRestart && (drained || p.cordoned(name)) {
			p.add(ActionUncordon, name, "", last)
			last = id(ActionUncordon, name)
		}
	}
	return last
}

// restartReason describes how a node differs from the desired one.
func (p *planner) restartReason(name string) string {
	reasons := []string{p.outdated(name)}
	if !p.stopsFirst(name) {
		reasons = append(reasons, p.resized(name))
	}
	return strings.Join(slices.DeleteFunc(reasons, func(text string) bool { return text == "" }), ", ")
}

// drains reports whether a node is drained before its restart: its pods can run elsewhere,
// and it is known to answer.
func (p *planner) drains(name string) bool {
	answers := p.observed.Ready[name] && p.observed.APIReady || p.has(id(ActionWait, name))
	return len(p.desired) > 1 && answers
}
