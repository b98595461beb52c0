// Package repair decides how to repair nodes that have been unhealthy for a long time. It
// never puts the majority of control planes at risk, and does no I/O: package fleet
// observes and repairs nodes.
package repair

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/vm/machine"
)

const (
	// longestWait bounds the back-off between two repairs of a node.
	longestWait = time.Hour
	// forgetAfter is how long a node must be healthy until its earlier repairs are forgotten.
	forgetAfter = time.Hour
	// maxDoublings bounds the back-off before longestWait does.
	maxDoublings = 6
)

// Node is what is observed of a node.
type Node struct {
	Name         string
	ControlPlane bool
	Machine      machine.State
	// Answers reports whether the node API answers.
	Answers bool
	// Known reports whether Ready is known.
	Known bool
	// Ready reports whether the Node object is Ready and, on a control plane, the API server
	// is ready, too.
	Ready bool
	// Problem is why the node is not healthy, in a few words for users.
	Problem string
	// Held is set if the node must not be repaired, because it is broken on purpose.
	Held bool
	// Volumes are the claims of local volumes on the node, which are lost with its disk.
	// They are known only if VolumesKnown is set.
	Volumes      []string
	VolumesKnown bool
}

func (n Node) healthy() bool { return n.Machine == machine.StateRunning && n.Answers && n.Ready }

// Observation is one check of all nodes of a cluster.
type Observation struct {
	// Elapsed is the time since the last check, without the time in which this host was too
	// busy for its machines.
	Elapsed time.Duration
	// Disturbed is set if nodes may be unhealthy for another reason: the host slept, or the
	// cluster was changed or paused. The time of all unhealthy nodes starts again.
	Disturbed bool
	Nodes     []Node
}

// Kind is what a repair does.
type Kind string

// The kinds.
const (
	Start   Kind = "start"   // a machine that stopped by itself
	Restart Kind = "restart" // a running machine
	Replace Kind = "replace" // the machine and its disk
)

// Action is one repair.
type Action struct {
	Node string
	Kind Kind
	// Reason is why, in one line for users.
	Reason string
}

// Decider remembers how long nodes have been unhealthy and how they were repaired. The
// zero value is ready to use.
type Decider struct{ nodes map[string]*history }

type history struct {
	wasHealthy bool          // at least once
	unhealthy  time.Duration // since it was last healthy or repaired
	total      time.Duration // since it was last healthy
	healthy    time.Duration
	attempts   int
	replaced   bool
}

// Next returns the repair that is due, if any. The first repair of a node is due once it has
// been unhealthy for after. A repair that was returned counts as done, even if it fails.
func (d *Decider) Next(o Observation, after time.Duration) (Action, bool) {
	if d.nodes == nil {
		d.nodes = map[string]*history{}
	}
	var due []Node
	for _, n := range o.Nodes {
		if d.observe(n, o) && d.history(n).unhealthy >= wait(after, d.history(n).attempts) && possible(n, o.Nodes) {
			due = append(due, n)
		}
	}
	if len(due) == 0 {
		return Action{}, false
	}
	// The API comes first: nothing is known about workers without it.
	slices.SortStableFunc(due, func(a, b Node) int {
		switch {
		case a.ControlPlane == b.ControlPlane:
			return 0
		case a.ControlPlane:
			return -1
		}
		return 1
	})
	n := due[0]
	h := d.history(n)
	action := Action{Node: n.Name, Kind: kind(n, h, o.Nodes), Reason: reason(n, h)}
	h.attempts++
	h.unhealthy = 0
	h.replaced = h.replaced || action.Kind == Replace
	return action, true
}

// history returns what is remembered of a node.
func (d *Decider) history(n Node) *history {
	if d.nodes[n.Name] == nil {
		d.nodes[n.Name] = &history{}
	}
	return d.nodes[n.Name]
}

// observe counts the time of a node, and reports whether it is unhealthy.
func (d *Decider) observe(n Node, o Observation) bool {
	h := d.history(n)
	switch {
	case n.healthy():
		h.wasHealthy, h.unhealthy, h.total = true, 0, 0
		if h.healthy += o.Elapsed; h.healthy >= forgetAfter {
			h.attempts, h.replaced = 0, false
		}
		return false
	case o.Disturbed || n.Held || n.Machine == machine.StatePaused || !h.wasHealthy:
		// A node that was never healthy may be waiting for its user to install a pod network.
		h.unhealthy, h.total, h.healthy = 0, 0, 0
		return false
	case n.Machine == machine.StateRunning && n.Answers && !n.Known:
		return false // the API server is the problem
	}
	h.unhealthy += o.Elapsed
	h.total += o.Elapsed
	h.healthy = 0
	return true
}

// wait returns how long a node must be unhealthy before its next repair.
func wait(after time.Duration, attempts int) time.Duration {
	return max(after, min(after<<min(attempts, maxDoublings), longestWait))
}

// possible reports whether an unhealthy node may be repaired now.
func possible(n Node, all []Node) bool {
	if n.Machine != machine.StateRunning {
		return true // it can only get better
	}
	anyHealthy, planesHealthy, planesReady := len(all) == 1, true, false
	for _, other := range all {
		if other.Name == n.Name {
			continue
		}
		anyHealthy = anyHealthy || other.healthy()
		if other.ControlPlane {
			planesHealthy = planesHealthy && other.healthy()
			planesReady = planesReady || other.Ready
		}
	}
	switch {
	case n.Answers && !anyHealthy:
		return false // all nodes have the same problem, so it is not that of a machine
	case !n.ControlPlane:
		return true
	case planesHealthy:
		return true
	}
	// If no control plane is ready, the majority is lost already.
	return !planesReady && !n.Ready && !n.Answers
}

// kind returns which repair a node needs.
func kind(n Node, h *history, all []Node) Kind {
	if h.attempts == 1 && !h.replaced && replaceable(n, all) {
		return Replace
	}
	if n.Machine != machine.StateRunning {
		return Start
	}
	return Restart
}

// replaceable reports whether a node can lose its disk.
func replaceable(n Node, all []Node) bool {
	if !n.VolumesKnown || len(n.Volumes) > 0 {
		return false
	}
	if !n.ControlPlane {
		return true
	}
	others := 0
	for _, other := range all {
		if other.ControlPlane && other.Name != n.Name {
			if !other.healthy() {
				return false
			}
			others++
		}
	}
	return others >= 2 // of three or more members
}

// reason explains a repair.
func reason(n Node, h *history) string {
	text := fmt.Sprintf("%s for %s", n.Problem, h.total.Round(time.Second))
	if h.attempts > 0 && len(n.Volumes) > 0 {
		text += fmt.Sprintf("; it is not replaced, because the data of its local volumes would be lost: %s", strings.Join(n.Volumes, ", "))
	}
	return text
}
