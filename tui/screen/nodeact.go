package screen

import (
	"fmt"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Act is Screen's.
func (n *Nodes) Act(w *World, a keys.Action) []Request {
	if scroll(n.table, a) || mark(n.table, a) {
		return nil
	}
	switch a {
	case keys.Faults:
		n.faults = !n.faults
		n.arrange(w)
		return nil
	case keys.Add:
		return n.resize(w, 1)
	case keys.Remove:
		return n.resize(w, -1)
	}
	at := n.at()
	if at < 0 || at >= len(n.nodes) {
		return nil
	}
	v := n.nodes[at]
	switch a {
	case keys.LoadImage:
		return loadImage(v.cluster)
	case keys.Shell:
		return []Request{Do{Cluster: v.cluster, Task: feed.Task{Verb: feed.VerbShell, Command: []string{"shell", v.name, "--cluster", v.cluster}}}}
	case keys.NodeLogs:
		return n.nodeLogs(v)
	}
	return n.change(w, a, v)
}

// change answers the actions that change nodes.
func (n *Nodes) change(w *World, a keys.Action, v nodeView) []Request {
	refs := n.refs()
	switch a {
	case keys.Cordon:
		return together(feed.VerbCordon, refs, nil)
	case keys.Uncordon:
		return together(feed.VerbUncordon, refs, nil)
	case keys.Drain:
		lines, pods := []string{}, 0
		for _, i := range n.table.Marked() {
			marked := n.nodes[n.lines[i].at]
			lines = append(lines, fmt.Sprintf("%s, %s", marked.name, count(marked.pods, "pod", "pods")))
			pods += marked.pods
		}
		lines = append(few(lines, maxNamed), "", "The nodes are cordoned and their pods evicted as disruption budgets allow.", "Data in emptyDir volumes is lost.")
		return []Request{Ask{Title: fmt.Sprintf("Drain %s with %s?", count(len(refs), "node", "nodes"), count(pods, "pod", "pods")), Lines: lines, Then: together(feed.VerbDrain, refs, nil)}}
	case keys.Delete:
		return []Request{Ask{
			Title: "Delete node " + v.name + " from Kubernetes?",
			Lines: []string{"Its pods are deleted too. The machine keeps running;", "its kubelet registers it again at its next start."}, Word: v.name,
			Then: []Request{do(v.ref(), feed.VerbDelete, nil)},
		}}
	case keys.Restart:
		return n.reboot()
	}
	return act(w, a, aim{ref: v.ref(), refs: refs})
}

// reboot restarts the marked machines.
func (n *Nodes) reboot() []Request {
	var lines []string
	var then []Request
	pods := 0
	for _, i := range n.table.Marked() {
		v := n.nodes[n.lines[i].at]
		if v.machine.Name == "" {
			return []Request{Say{Text: v.name + " does not run on this host", Bad: true}}
		}
		pods += v.pods
		lines = append(lines, fmt.Sprintf("%s, %s", v.name, count(v.pods, "pod", "pods")))
		then = append(then, skiff(v.cluster, "restart", v.name, "--cluster", v.cluster)...)
	}
	title := "Restart machine " + n.nodes[n.lines[n.table.Marked()[0]].at].name + "?"
	if len(then) > 1 {
		title = fmt.Sprintf("Restart %d machines?", len(then))
	}
	return []Request{Ask{Title: title, Lines: append(few(lines, maxNamed), "", count(pods, "pod is", "pods are")+" restarted."), Then: then}}
}

func (n *Nodes) refs() []object.Ref {
	var refs []object.Ref
	for _, i := range n.table.Marked() {
		refs = append(refs, n.nodes[n.lines[i].at].ref())
	}
	return refs
}

// resize asks for one worker more or less.
func (n *Nodes) resize(w *World, by int) []Request {
	if len(n.clusters) != 1 || len(w.Hosts[n.clusters[0]].Nodes) == 0 {
		return []Request{Say{Text: "select a single cluster on this host first", Bad: true}}
	}
	name := n.clusters[0]
	workers, last := 0, ""
	for _, m := range w.Hosts[name].Nodes {
		if m.Role == "worker" {
			workers++
			last = m.Name
		}
	}
	command := skiff(name, "up", name, "--workers", fmt.Sprint(workers+by))
	if by > 0 {
		return command
	}
	if workers == 0 {
		return []Request{Say{Text: "the cluster has no worker to remove", Bad: true}}
	}
	return []Request{Ask{
		Title: "Remove " + last + " from " + name + "?", Lines: []string{"It is drained first. Its disk is deleted, with all images", "and local volumes on it."}, Word: last, Then: command,
	}}
}

// nodeLogs asks which log of a node.
func (n *Nodes) nodeLogs(v nodeView) []Request {
	sources := []string{"kernel", "init"}
	for _, p := range v.guest.Programs {
		sources = append(sources, p.Name)
	}
	form := widget.NewForm("Logs of "+v.name, []widget.Field{{Name: "source", Label: "Source", Value: sources[len(sources)-1], Choices: sources, Hint: chooseHint}})
	return []Request{Fill{Form: form, Then: func(values map[string]string) []Request {
		return skiff(v.cluster, "logs", v.name, "--cluster", v.cluster, "--source", values["source"], "--follow")
	}}}
}
