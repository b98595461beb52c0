// Package forwards is the screen that lists the port-forwards of the dashboard.
package forwards

import (
	"fmt"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Screen lists port-forwards.
type Screen struct {
	grid.Grid
	forwards feed.ForwardList
}

// New returns the screen.
func New() *Screen {
	return &Screen{Grid: grid.New(
		widget.Column{Title: "Address", Min: 16}, widget.Column{Title: "To", Min: 20}, widget.Column{Title: "Port"},
		widget.Column{Title: "Pod", Min: 16}, widget.Column{Title: "State"}, widget.Column{Title: "Open", Right: true},
		widget.Column{Title: "Age"}, widget.Column{Title: "Message", Min: 12},
	)}
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "port-forwards" }

// Title implements screen.Screen.
func (s *Screen) Title() string {
	return "Port-forwards  " + format.Count(len(s.forwards.All), "port", "ports") + ", until skiff exits"
}

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope { return []keys.Scope{keys.Forwards, keys.List} }

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need { return []feed.Need{feed.Forwards{}} }

// Take implements screen.Screen.
func (s *Screen) Take(w *screen.World, delivery any) {
	if d, ok := delivery.(feed.ForwardList); ok {
		s.forwards = d
		s.refresh(w)
	}
}

func (s *Screen) refresh(w *screen.World) {
	var lines []grid.Line
	for i, f := range s.forwards.All {
		state := grid.State(f.State)
		if f.Problem != "" {
			state.Tone = theme.Warn
		}
		lines = append(lines, grid.Line{Key: f.ID, At: i, Cells: []grid.Cell{
			{Text: address(f), Tone: theme.Accent}, grid.Plain(f.Ref.String()), grid.Plain(f.Remote), grid.Plain(f.Pod),
			state, grid.Plain(fmt.Sprint(f.Conns)), grid.Dim(object.Age(f.Since, w.Now)), {Text: f.Problem, Tone: theme.Warn},
		}})
	}
	s.Set(lines)
}

func address(f feed.Forwarded) string { return fmt.Sprintf("127.0.0.1:%d", f.Local) }

// Act implements screen.Screen.
func (s *Screen) Act(_ *screen.World, a keys.Action) []screen.Request {
	at := s.At()
	if s.Table.Act(a) || at < 0 {
		return nil
	}
	f := s.forwards.All[at]
	switch a {
	case keys.Delete:
		return []screen.Request{screen.Do{Cluster: f.Ref.Cluster, Task: feed.Task{Verb: feed.VerbStopForward, Args: map[string]string{"id": f.ID}}}}
	case keys.Enter:
		return screen.Show(screen.Text(f.Ref, feed.Description))
	case keys.Copy:
		return screen.Copy(address(f))
	}
	return nil
}

// View implements screen.Screen. It refreshes the ages first.
func (s *Screen) View(w *screen.World, width, height int) []string {
	s.refresh(w)
	return s.Grid.View(w, width, height, object.Freshness{State: object.Live}, "no port-forwards: press f on a pod, service or workload to start one")
}
