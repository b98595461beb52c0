// Package autoscale decides when groups of nodes grow and shrink. It does no I/O: package
// fleet asks the control plane which nodes pods need, and adds and removes nodes.
package autoscale

import (
	"fmt"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

const (
	// firstWait and longestWait bound the time until a group grows again after that failed.
	firstWait   = 5 * time.Minute
	longestWait = 30 * time.Minute
	// finishing stands for what was interrupted, among the names of groups and nodes.
	finishing = ""
	// refusedWait is the time until a node is looked at again that could not be removed.
	refusedWait = 5 * time.Minute
)

// Group is a group that is scaled.
type Group struct {
	Name            string
	Min, Max, Count int
}

// Observation is one look at a cluster.
type Observation struct {
	// Elapsed is the time since the last one, without that in which this host slept.
	Elapsed time.Duration
	Groups  []Group
	// Members has the group of each node that may be removed, by name.
	Members map[string]string
	// Unfinished is set if an earlier change was interrupted.
	Unfinished bool
	Room       controlapi.Room
}

// Kind is what an action does.
type Kind string

// The kinds.
const (
	Finish Kind = "finish" // what was interrupted
	Add    Kind = "add"
	Remove Kind = "remove"
)

// Action is one change.
type Action struct {
	Kind  Kind
	Group string
	// Count is the number of nodes to add.
	Count int
	// Pods are those that get the new nodes.
	Pods []controlapi.PodReference
	// Nodes are those to remove.
	Nodes []string
	// Reason is why, in one line for users.
	Reason string
}

// Decider remembers how long nodes have been spare, and what failed. The zero value is ready
// to use.
type Decider struct {
	spare map[string]time.Duration // by node
	held  map[string]time.Duration // until a node or a group is changed again
	fails map[string]int           // of a group, in a row
}

// Next returns the change that is due, if any. A node is removed once the cluster could have
// done without it for idle.
func (d *Decider) Next(o Observation, idle time.Duration) (Action, bool) {
	d.wait(o.Elapsed)
	if o.Unfinished {
		if d.held[finishing] > 0 {
			return Action{}, false
		}
		return Action{Kind: Finish, Reason: "an earlier change was interrupted"}, true
	}
	d.observe(o)
	for _, need := range o.Room.Needs {
		if action, ok := d.add(o, need); ok {
			return action, true
		}
	}
	return d.remove(o, idle)
}

func (d *Decider) wait(elapsed time.Duration) {
	for name, rest := range d.held {
		if d.held[name] = rest - elapsed; d.held[name] <= 0 {
			delete(d.held, name)
		}
	}
}

// observe counts how long nodes have been spare. While pods need nodes, none is.
func (d *Decider) observe(o Observation) {
	counted := map[string]time.Duration{}
	for _, s := range o.Room.Spare {
		if _, member := o.Members[s.Node]; !member || s.Needed != "" {
			continue
		}
		since, known := d.spare[s.Node]
		if known {
			since += o.Elapsed
		}
		counted[s.Node] = since
	}
	d.spare = counted
}

func find(groups []Group, name string) (Group, bool) {
	i := slices.IndexFunc(groups, func(g Group) bool { return g.Name == name })
	if i < 0 {
		return Group{}, false
	}
	return groups[i], true
}

// add returns the change that gives pods the nodes that they need, as far as that is possible.
func (d *Decider) add(o Observation, need controlapi.Need) (Action, bool) {
	group, ok := find(o.Groups, need.Group)
	count := min(need.Nodes, group.Max-group.Count)
	if !ok || count < 1 || d.held[need.Group] > 0 {
		return Action{}, false
	}
	reason := "pods do not fit"
	if len(need.Pods) > 0 {
		reason = fmt.Sprintf("pod %s/%s does not fit", need.Pods[0].Namespace, need.Pods[0].Name)
	}
	if more := len(need.Pods) - 1; more > 0 {
		reason = fmt.Sprintf("pod %s/%s and %d more do not fit", need.Pods[0].Namespace, need.Pods[0].Name, more)
	}
	return Action{Kind: Add, Group: need.Group, Count: count, Pods: need.Pods, Reason: reason}, true
}

// remove returns the removal of all nodes of a group that have no pods to move, or of one that
// has. Several at once might need the same room for their pods.
func (d *Decider) remove(o Observation, idle time.Duration) (Action, bool) {
	for _, group := range o.Groups {
		var nodes []string
		last := ""
		for _, s := range o.Room.Spare {
			since, spare := d.spare[s.Node]
			if !spare || since < idle || o.Members[s.Node] != group.Name || d.held[s.Node] > 0 {
				continue
			}
			if s.Pods == 0 {
				nodes = append(nodes, s.Node)
			} else {
				last = s.Node
			}
		}
		if len(nodes) == 0 && last != "" {
			nodes = []string{last}
		}
		// The nodes that were added last go first.
		slices.Reverse(nodes)
		nodes = nodes[:max(0, min(len(nodes), group.Count-group.Min))]
		if len(nodes) > 0 {
			return Action{Kind: Remove, Group: group.Name, Nodes: nodes, Reason: fmt.Sprintf("not needed for %s", idle)}, true
		}
	}
	return Action{}, false
}

// Done tells the decider how an action ended. What failed is tried again later.
func (d *Decider) Done(a Action, failed bool) {
	if d.held == nil {
		d.held, d.fails = map[string]time.Duration{}, map[string]int{}
	}
	switch {
	case a.Kind == Add && failed:
		d.held[a.Group] = min(firstWait<<min(d.fails[a.Group], 3), longestWait)
		d.fails[a.Group]++
	case a.Kind == Add:
		delete(d.fails, a.Group)
	case a.Kind == Finish && failed:
		d.held[finishing] = firstWait
	case failed:
		for _, node := range a.Nodes {
			d.held[node] = refusedWait
		}
	}
}
