package screen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Act is Screen's.
func (n *Nodes) Act(w *World, a keys.Action) []Request {
	if scroll(n.table, a) {
		return nil
	}
	switch a {
	case keys.Mark:
		n.table.Mark()
		return nil
	case keys.MarkAll:
		n.table.MarkAll()
		return nil
	case keys.Unmark:
		n.table.Unmark()
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
	case keys.Enter:
		return podsOnNode(w, v.ref())
	case keys.Copy:
		return []Request{CopyText{What: v.name, Text: v.name}}
	case keys.Describe:
		return []Request{Push{Screen: NewDocument(v.ref(), feed.Description)}}
	case keys.YAML:
		return []Request{Push{Screen: NewDocument(v.ref(), feed.YAML)}}
	case keys.Edit:
		return []Request{do(v.ref(), feed.VerbEdit, nil)}
	case keys.Events:
		return eventsOf(w, v.ref())
	case keys.ShowTree:
		return []Request{Push{Screen: NewTree(v.ref())}}
	case keys.LoadImage:
		return loadImage(v.cluster)
	case keys.Shell:
		return []Request{Do{Cluster: v.cluster, Task: feed.Task{Verb: feed.VerbShell, Command: []string{"shell", v.name, "--cluster", v.cluster}}}}
	case keys.NodeLogs:
		return n.nodeLogs(v)
	}
	return n.change(a, v)
}

// change answers the actions that change nodes.
func (n *Nodes) change(a keys.Action, v nodeView) []Request {
	refs := n.refs()
	switch a {
	case keys.Cordon:
		return n.each(feed.VerbCordon, refs)
	case keys.Uncordon:
		return n.each(feed.VerbUncordon, refs)
	case keys.Drain:
		lines, pods := []string{}, 0
		for _, i := range n.table.Marked() {
			marked := n.nodes[n.lines[i].at]
			lines = append(lines, fmt.Sprintf("%s, %s", marked.name, count(marked.pods, "pod", "pods")))
			pods += marked.pods
		}
		lines = append(few(lines, 8), "", "No new pods are placed there. Its pods are evicted, as their disruption", "budgets allow; what they keep in emptyDir volumes is lost.")
		return []Request{Ask{Title: fmt.Sprintf("Drain %s with %s?", count(len(refs), "node", "nodes"), count(pods, "pod", "pods")), Lines: lines, Then: n.each(feed.VerbDrain, refs)}}
	case keys.Delete:
		return []Request{Ask{
			Title: "Delete node " + v.name + " from Kubernetes?",
			Lines: []string{"Its pods are deleted with it. The machine runs on;", "its kubelet registers it again when it starts the next time."}, Word: v.name,
			Then: []Request{do(v.ref(), feed.VerbDelete, nil)},
		}}
	case keys.Restart:
		return n.reboot(v)
	}
	return nil
}

// reboot restarts the machine from inside.
func (n *Nodes) reboot(v nodeView) []Request {
	return []Request{Ask{
		Title: "Restart the machine of " + v.name + "?", Lines: []string{count(v.pods, "pod is", "pods are") + " stopped and started again."},
		Then: skiff(v.cluster, "shell", v.name, "--cluster", v.cluster, "--", "reboot"),
	}}
}

func (n *Nodes) refs() []object.Ref {
	var refs []object.Ref
	for _, i := range n.table.Marked() {
		refs = append(refs, n.nodes[n.lines[i].at].ref())
	}
	return refs
}

func (n *Nodes) each(verb feed.Verb, refs []object.Ref) []Request {
	var all []Request
	for _, r := range refs {
		all = append(all, do(r, verb, nil))
	}
	return all
}

// resize asks for one worker more or less.
func (n *Nodes) resize(w *World, by int) []Request {
	if len(n.clusters) != 1 || len(w.Hosts[n.clusters[0]].Nodes) == 0 {
		return []Request{Say{Text: "this is no single cluster of this host", Bad: true}}
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
		return []Request{Say{Text: "there is no worker to remove", Bad: true}}
	}
	return []Request{Ask{
		Title: "Remove " + last + " from " + name + "?", Lines: []string{"It is drained first. Its disk and what is on it is lost:", "images, and volumes that live on this node."}, Word: last, Then: command,
	}}
}

// nodeLogs asks which log of a node.
func (n *Nodes) nodeLogs(v nodeView) []Request {
	sources := []string{"kernel", "init"}
	for _, p := range v.guest.Programs {
		sources = append(sources, p.Name)
	}
	form := widget.NewForm("Logs of "+v.name, []widget.Field{{Name: "source", Label: "source", Value: sources[len(sources)-1], Choices: sources, Hint: "← → chooses, ⏎ goes on"}})
	return []Request{Fill{Form: form, Then: func(values map[string]string) []Request {
		return skiff(v.cluster, "logs", v.name, "--cluster", v.cluster, "--source", values["source"], "--follow")
	}}}
}

// View is Screen's: the nodes, and below them the one under the cursor.
func (n *Nodes) View(w *World, width, height int) []string {
	at := n.at()
	if at < 0 || at >= len(n.nodes) {
		lines := n.table.View(w.Theme, width, height)
		text := "reading …"
		if n.all > 0 {
			text = "nothing matches; esc clears the filter"
		} else if f := n.Freshness(); f.State != object.Loading {
			text = strings.TrimSpace("there are none " + f.Problem)
		}
		return append(lines, "", w.Theme.Paint(theme.Dim, "  "+text))
	}
	details := n.details(w, n.nodes[at], width)
	if height < len(details)+5 {
		return n.table.View(w.Theme, width, height)
	}
	room := min(height-len(details), len(n.lines)+2)
	return append(widget.Box(n.table.View(w.Theme, width, room), width, room), details...)
}

// details draws what is known of one node.
func (n *Nodes) details(w *World, v nodeView, width int) []string {
	th := w.Theme
	h := n.historyOf(v.cluster, v.name)
	graph := max(10, min(60, width/2-30))
	line := func(name, now string, s widget.Series, top float64, tone theme.Tone) string {
		return "  " + th.Paint(theme.Dim, widget.Fit(name, 10)) + widget.Fit(now, 14) + th.Paint(tone, widget.Spark(s, graph, top))
	}
	left := []string{
		line("CPU", v.cpu(), h.cpu, float64(v.machine.CPUs)*1000, theme.Good),
		line("memory", v.memory(), h.memory, float64(v.guest.MemoryTotalKiB)*1024, theme.Busy),
		line("on host", v.onHost(), h.host, 0, theme.Busy),
		line("received", perSecond(v.use.ReceivedPerS), h.received, 0, theme.Number),
		line("sent", perSecond(v.use.SentPerS), h.sent, 0, theme.Number),
	}
	right := v.facts(th, n)
	if width < 110 {
		for _, l := range right[:min(2, len(right))] {
			left = append(left, "  "+l)
		}
		return panel(th, v.name, width, slices.Delete(left, 3, 5)...)
	}
	return panel(th, v.name, width, beside(left, right, 26+graph+2, 2)...)
}

// facts are what else is known of a node, most telling first.
func (v nodeView) facts(th *theme.Theme, n *Nodes) []string {
	var lines []string
	add := func(name, value string, tone theme.Tone) {
		if value != "" {
			lines = append(lines, th.Paint(theme.Dim, widget.Fit(name, 10))+th.Paint(tone, value))
		}
	}
	message := v.machine.MachineMessage
	if message == "" {
		message = v.machine.Reason
	}
	add("message", message, theme.Warn)
	for _, p := range v.guest.Problems {
		add("problem", p, theme.Bad)
	}
	if total := v.guest.DiskTotalBytes; total > 0 {
		used := total - v.guest.DiskFreeBytes
		part := float64(used) / float64(total)
		tone := theme.Good
		if part > 0.85 {
			tone = theme.Warn
		}
		lines = append(lines, th.Paint(theme.Dim, widget.Fit("disk", 10))+th.Paint(tone, widget.Gauge(part, 20))+" "+bytes(used)+" of "+bytes(total))
	}
	var programs []string
	for _, p := range v.guest.Programs {
		text := p.Name
		if p.Restarts > 0 {
			text += fmt.Sprintf(" (%d restarts)", p.Restarts)
		}
		if p.PID == 0 {
			text += " stopped"
		}
		programs = append(programs, text)
	}
	add("programs", strings.Join(programs, ", "), theme.Plain)
	add("system", n.cell(v, "OS-Image"), theme.Plain)
	add("kernel", n.cell(v, "Kernel-Version"), theme.Plain)
	add("runtime", n.cell(v, "Container-Runtime"), theme.Plain)
	return lines
}
