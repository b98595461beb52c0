package screen

import (
	"fmt"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Forwards lists the ports of this host that lead to pods.
type Forwards struct {
	grid
	list feed.ForwardList
}

// NewForwards returns the screen.
func NewForwards() *Forwards {
	return &Forwards{grid: newGrid(
		widget.Column{Title: "Address", Min: 16}, widget.Column{Title: "To", Min: 20}, widget.Column{Title: "Port"},
		widget.Column{Title: "Pod", Min: 16}, widget.Column{Title: "State"}, widget.Column{Title: "Open", Right: true},
		widget.Column{Title: "Age"}, widget.Column{Title: "Message", Min: 12},
	)}
}

// Crumb is Screen's.
func (f *Forwards) Crumb() string { return "port-forwards" }

// Title is Screen's.
func (f *Forwards) Title() string {
	return "Port-forwards  " + count(len(f.list.All), "port", "ports") + ", until skiff exits"
}

// Scopes is Screen's.
func (f *Forwards) Scopes() []keys.Scope { return []keys.Scope{keys.Forwards, keys.List} }

// Needs is Screen's.
func (f *Forwards) Needs() []feed.Need { return []feed.Need{feed.Forwards{}} }

// Take is Screen's.
func (f *Forwards) Take(w *World, delivery any) {
	if d, ok := delivery.(feed.ForwardList); ok {
		f.list = d
		f.refresh(w)
	}
}

func (f *Forwards) refresh(w *World) {
	var lines []gridLine
	for i, p := range f.list.All {
		state := stateCell(p.State)
		if p.Problem != "" {
			state.tone = theme.Warn
		}
		lines = append(lines, gridLine{key: p.ID, at: i, cells: []cell{
			{fmt.Sprintf("127.0.0.1:%d", p.Local), theme.Accent}, plainCell(p.Ref.String()), plainCell(p.Remote), plainCell(p.Pod),
			state, plainCell(fmt.Sprint(p.Conns)), dimCell(object.Age(p.Since, w.Now)), {p.Problem, theme.Warn},
		}})
	}
	f.set(lines)
}

// Act is Screen's.
func (f *Forwards) Act(_ *World, a keys.Action) []Request {
	if scroll(f.table, a) {
		return nil
	}
	at := f.at()
	if at < 0 {
		return nil
	}
	p := f.list.All[at]
	switch a {
	case keys.Delete:
		return []Request{Do{Cluster: p.Ref.Cluster, Task: feed.Task{Verb: feed.VerbStopForward, Args: map[string]string{"id": p.ID}}}}
	case keys.Enter:
		return []Request{Push{Screen: NewDocument(p.Ref, feed.Description)}}
	case keys.Copy:
		address := fmt.Sprintf("127.0.0.1:%d", p.Local)
		return []Request{CopyText{What: address, Text: address}}
	}
	return nil
}

// View is Screen's.
func (f *Forwards) View(w *World, width, height int) []string {
	f.refresh(w)
	lines := f.table.View(w.Theme, width, height)
	if len(f.lines) == 0 {
		lines = append(lines, "", w.Theme.Paint(theme.Dim, "  no port-forwards: press f on a pod, service or workload to start one"))
	}
	return lines
}
