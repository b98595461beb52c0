package nodes

import (
	"fmt"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/screen/operation"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Act implements screen.Screen.
func (s *Screen) Act(w *screen.World, a keys.Action) []screen.Request {
	if s.Table.Act(a) || s.Table.ActMark(a) {
		return nil
	}
	switch a {
	case keys.Unhealthy:
		s.unhealthy = !s.unhealthy
		s.arrange(w)
		return nil
	case keys.Add:
		return s.addWorker(w)
	case keys.Remove:
		return s.removeWorker(w)
	}
	if at := s.At(); at >= 0 && at < len(s.nodes) {
		return s.actOn(w, a, s.nodes[at])
	}
	return nil
}

// actOn answers the actions on the node under the cursor or the marked nodes.
func (s *Screen) actOn(w *screen.World, a keys.Action, n node) []screen.Request {
	switch a {
	case keys.LoadImage:
		return operation.LoadImage(n.cluster)
	case keys.Shell:
		return operation.Run(machine.Shell{Cluster: n.cluster, Node: n.name})
	case keys.NodeLogs:
		return logsForm(n)
	case keys.SearchLogs:
		return kind.SearchLogs(feed.StoredLogs{Cluster: n.cluster, Node: n.name})
	case keys.Cordon:
		return kind.DoAll(feed.VerbCordon, s.refs(), nil)
	case keys.Uncordon:
		return kind.DoAll(feed.VerbUncordon, s.refs(), nil)
	case keys.Drain:
		return s.drain()
	case keys.Restart:
		return s.restart()
	}
	return kind.Act(w, a, kind.Aim{Ref: n.ref(), Refs: s.refs()})
}

// marked returns the marked nodes, or the one under the cursor.
func (s *Screen) marked() []node {
	var nodes []node
	for _, i := range s.Marked() {
		nodes = append(nodes, s.nodes[i])
	}
	return nodes
}

func (s *Screen) refs() []object.Ref {
	var refs []object.Ref
	for _, n := range s.marked() {
		refs = append(refs, n.ref())
	}
	return refs
}

// affected lists the nodes that a question is about, and counts their pods.
func affected(nodes []node) (lines []string, pods int) {
	for _, n := range nodes {
		lines = append(lines, n.name+", "+format.Count(n.pods, "pod", "pods"))
		pods += n.pods
	}
	return append(format.Few(lines, kind.MaxNamed), ""), pods
}

func (s *Screen) drain() []screen.Request {
	refs := s.refs()
	lines, pods := affected(s.marked())
	return []screen.Request{screen.Ask{
		Title: fmt.Sprintf("Drain %s with %s?", format.Count(len(refs), "node", "nodes"), format.Count(pods, "pod", "pods")),
		Lines: append(lines, "No new pods are scheduled there. Running pods are evicted as", "disruption budgets allow; data in emptyDir volumes is lost."),
		Then:  kind.DoAll(feed.VerbDrain, refs, nil),
	}}
}

// restart restarts the machines of the marked nodes.
func (s *Screen) restart() []screen.Request {
	nodes := s.marked()
	var then []screen.Request
	for _, n := range nodes {
		if n.machine.Name == "" {
			return screen.Failure(n.name + " is not running on this host")
		}
		then = append(then, operation.Run(machine.Restart{Cluster: n.cluster, Node: n.name})...)
	}
	title := "Restart machine " + nodes[0].name + "?"
	if len(nodes) > 1 {
		title = fmt.Sprintf("Restart %d machines?", len(nodes))
	}
	lines, pods := affected(nodes)
	return []screen.Request{screen.Ask{Title: title, Lines: append(lines, format.Count(pods, "pod is", "pods are")+" restarted."), Then: then}}
}

// workers returns the cluster that is shown and its workers. It returns false
// unless exactly one cluster of this host is shown.
func (s *Screen) workers(w *screen.World) (cluster string, workers []string, ok bool) {
	if len(s.clusters) != 1 || len(w.Hosts[s.clusters[0]].Nodes) == 0 {
		return "", nil, false
	}
	cluster = s.clusters[0]
	for _, m := range w.Hosts[cluster].Nodes {
		if m.Role == "worker" {
			workers = append(workers, m.Name)
		}
	}
	return cluster, workers, true
}

// oneCluster explains why workers cannot be added or removed.
const oneCluster = "select a single cluster on this host first"

func (s *Screen) addWorker(w *screen.World) []screen.Request {
	cluster, workers, ok := s.workers(w)
	if !ok {
		return screen.Failure(oneCluster)
	}
	return operation.Run(machine.Scale{Cluster: cluster, Workers: len(workers) + 1})
}

func (s *Screen) removeWorker(w *screen.World) []screen.Request {
	cluster, workers, ok := s.workers(w)
	switch {
	case !ok:
		return screen.Failure(oneCluster)
	case len(workers) == 0:
		return screen.Failure("the cluster has no worker to remove")
	}
	last := workers[len(workers)-1]
	return []screen.Request{screen.Ask{
		Title: "Remove " + last + " from " + cluster + "?",
		Lines: []string{"It is drained first. Its disk is deleted, with all images", "and local volumes on it."},
		Word:  last, Then: operation.Run(machine.Scale{Cluster: cluster, Workers: len(workers) - 1}),
	}}
}

// logsForm asks which log of a node to show.
func logsForm(n node) []screen.Request {
	sources := []string{"kernel", "init"}
	for _, p := range n.guest.Programs {
		sources = append(sources, p.Name)
	}
	form := widget.NewForm("Logs of "+n.name, []widget.Field{
		{Name: "source", Label: "Source", Value: sources[len(sources)-1], Choices: sources, Hint: format.ChooseHint},
	})
	return []screen.Request{screen.Fill{Form: form, Then: func(values map[string]string) []screen.Request {
		return operation.Run(machine.NodeLogs{Cluster: n.cluster, Node: n.name, Source: values["source"]})
	}}}
}
