package screen

import (
	"fmt"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Containers shows the containers of a pod.
type Containers struct {
	grid
	pod   object.Ref
	all   feed.Containers
	usage feed.Stats
}

// NewContainers returns the screen of a pod's containers.
func NewContainers(pod object.Ref) *Containers {
	return &Containers{pod: pod, grid: newGrid(
		widget.Column{Title: "Name", Min: 12}, widget.Column{Title: "Kind", Spare: true}, widget.Column{Title: "Ready"}, widget.Column{Title: "State", Min: 18},
		widget.Column{Title: "Restarts", Right: true}, widget.Column{Title: "CPU", Right: true}, widget.Column{Title: "Memory", Right: true},
		widget.Column{Title: "Requests", Spare: true}, widget.Column{Title: "Limits", Spare: true}, widget.Column{Title: "Ports", Spare: true},
		widget.Column{Title: "Probes", Spare: true}, widget.Column{Title: "Age"}, widget.Column{Title: "Image", Min: 10},
	)}
}

// Crumb is Screen's.
func (c *Containers) Crumb() string { return c.pod.Name }

// Title is Screen's.
func (c *Containers) Title() string {
	return "Containers of " + c.pod.String() + "  " + count(len(c.all.All), "container", "containers")
}

// Scopes is Screen's.
func (c *Containers) Scopes() []keys.Scope {
	return []keys.Scope{keys.Containers, keys.Objects, keys.List}
}

// Needs is Screen's.
func (c *Containers) Needs() []feed.Need {
	return []feed.Need{feed.PodContainers{Pod: c.pod}, feed.Usage{Cluster: c.pod.Cluster}}
}

// Freshness is Dated's.
func (c *Containers) Freshness() object.Freshness { return c.all.Freshness }

// Take is Screen's.
func (c *Containers) Take(w *World, delivery any) {
	switch d := delivery.(type) {
	case feed.Containers:
		c.all = d
	case feed.Stats:
		c.usage = d
	}
	c.refresh(w)
}

func (c *Containers) refresh(w *World) {
	var lines []gridLine
	for i, one := range c.all.All {
		ready := cell{"no", theme.Warn}
		switch {
		case one.Ready:
			ready = cell{"yes", theme.Good}
		case one.Ended:
			ready = dimCell("-")
		}
		restarts := dimCell("0")
		if one.Restarts > 0 {
			restarts = cell{fmt.Sprint(one.Restarts), theme.Warn}
		}
		cpu, memory := dimCell("-"), dimCell("-")
		if use, ok := c.usage.Containers[c.pod.Namespace+"/"+c.pod.Name+"/"+one.Name]; ok {
			cpu, memory = plainCell(fmt.Sprintf("%dm", use.MilliCPU)), plainCell(bytes(use.MemoryBytes))
		}
		age := "-"
		if !one.Since.IsZero() {
			age = object.Age(one.Since, w.Now)
		}
		lines = append(lines, gridLine{key: one.Name, at: i, cells: []cell{
			{one.Name, theme.Accent}, dimCell(one.Kind), ready, stateCell(one.State), restarts, cpu, memory, plainCell(one.Requests),
			plainCell(one.Limits), plainCell(strings.Join(one.Ports, ", ")), plainCell(one.Probes), dimCell(age), dimCell(one.Image),
		}})
	}
	c.set(lines)
}

// Current is the pod.
func (c *Containers) Current() (object.Ref, bool) { return c.pod, true }

// Act is Screen's.
func (c *Containers) Act(w *World, a keys.Action) []Request {
	if scroll(c.table, a) {
		return nil
	}
	if at := c.at(); at >= 0 {
		return inside(w, a, c.pod, c.all.All[at].Name)
	}
	return nil
}

// inside answers an action on one container of a pod; what is none of a
// container's is about the pod.
func inside(w *World, a keys.Action, pod object.Ref, container string) []Request {
	of := map[string]string{"container": container}
	switch a {
	case keys.Enter, keys.ShowLogs:
		return containerLogs(pod, container, false)
	case keys.Previous:
		return containerLogs(pod, container, true)
	case keys.Shell:
		return []Request{do(pod, feed.VerbShell, of)}
	case keys.Attach:
		return []Request{do(pod, feed.VerbAttach, of)}
	case keys.Copy:
		return []Request{CopyText{What: container, Text: container}}
	}
	return act(w, a, aim{ref: pod, refs: []object.Ref{pod}})
}

func containerLogs(pod object.Ref, container string, previous bool) []Request {
	return []Request{Push{Screen: NewLogs(pod, feed.Logs{
		Cluster: pod.Cluster, Pods: []feed.PodName{{Namespace: pod.Namespace, Name: pod.Name}}, Container: container, Previous: previous, Tail: tail,
	})}}
}

// View is Screen's.
func (c *Containers) View(w *World, width, height int) []string {
	lines := c.table.View(w.Theme, width, height)
	if len(c.lines) > 0 {
		return lines
	}
	text := loading
	switch {
	case c.all.Problem != "":
		text = c.all.Problem
	case len(c.all.All) > 0:
		text = noMatch
	case c.all.State == object.Live:
		text = "no containers found"
	}
	return append(lines, "", w.Theme.Paint(theme.Dim, "  "+text))
}
