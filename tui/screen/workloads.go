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

// Workloads shows all that runs pods, of every kind, in one table.
type Workloads struct {
	grid
	clusters, namespaces []string
	common               []string                // namespaces that were chosen for all screens
	own                  []string                // namespaces in place of those, nil for none
	tables               map[string]object.Table // by cluster and resource
	items                []workload
	faults               bool
}

// workload is one of them and the table it stands in.
type workload struct {
	row *object.Row
	in  object.Table
}

// workloadKinds in the order in which they are shown.
var workloadKinds = []object.Resource{object.Deployments, object.StatefulSets, object.DaemonSets, object.Jobs, object.CronJobs}

// NewWorkloads returns the screen, of these namespaces or, with nil, of those
// that are chosen.
func NewWorkloads(w *World, namespaces []string) *Workloads {
	s := &Workloads{own: namespaces, common: w.Namespaces, tables: map[string]object.Table{}, grid: newGrid()}
	s.Rechoose(w)
	return s
}

// Rechoose is called when other clusters or namespaces were chosen.
func (s *Workloads) Rechoose(w *World) {
	if !slices.Equal(s.common, w.Namespaces) {
		s.own = nil // what was chosen later holds
	}
	namespaces := w.Namespaces
	if s.own != nil {
		namespaces = s.own
	}
	if !slices.Equal(s.clusters, w.Clusters) || !slices.Equal(s.namespaces, namespaces) {
		clear(s.tables)
	}
	s.common, s.clusters, s.namespaces = w.Namespaces, w.Clusters, namespaces
	s.refresh(w)
}

// Crumb is Screen's.
func (s *Workloads) Crumb() string { return "workloads" }

// Title is Screen's.
func (s *Workloads) Title() string {
	where := "in all namespaces"
	if len(s.namespaces) > 0 {
		where = "in " + strings.Join(few(s.namespaces, 3), ", ")
	}
	at, _ := s.table.Where()
	text := fmt.Sprintf("Workloads %s  %d/%d", where, at, len(s.lines))
	if marks := s.table.Marks(); marks > 0 {
		text += fmt.Sprintf(", %d marked", marks)
	}
	if s.faults {
		text += ", unhealthy only"
	}
	return text
}

// Scopes is Screen's: they are those of what is under the cursor.
func (s *Workloads) Scopes() []keys.Scope {
	var scopes []keys.Scope
	if at := s.at(); at >= 0 {
		scopes = scopesOf(s.items[at].in.Resource)
	}
	return append(scopes, keys.Objects, keys.Rows, keys.Spaces, keys.List)
}

// Needs is Screen's.
func (s *Workloads) Needs() []feed.Need {
	var needs []feed.Need
	for _, cluster := range s.clusters {
		for _, r := range workloadKinds {
			needs = append(needs, feed.Objects{Cluster: cluster, Resource: r, Namespaces: s.namespaces})
		}
	}
	return needs
}

// Take is Screen's.
func (s *Workloads) Take(w *World, delivery any) {
	if t, ok := delivery.(object.Table); ok {
		s.tables[t.Cluster+" "+t.Resource.ID()] = t
		s.refresh(w)
	}
}

// Freshness is Dated's.
func (s *Workloads) Freshness() object.Freshness {
	var sources []string
	for _, cluster := range s.clusters {
		for _, r := range workloadKinds {
			sources = append(sources, cluster+" "+r.ID())
		}
	}
	return oldest(sources, func(source string) object.Freshness { return s.tables[source].Freshness })
}

func (s *Workloads) refresh(w *World) {
	s.items = s.items[:0]
	for _, cluster := range s.clusters {
		for _, r := range workloadKinds {
			t := s.tables[cluster+" "+r.ID()]
			for _, row := range t.Rows {
				s.items = append(s.items, workload{row, t})
			}
		}
	}
	slices.SortStableFunc(s.items, func(a, b workload) int {
		return strings.Compare(a.row.Cluster+"/"+a.row.Namespace, b.row.Cluster+"/"+b.row.Namespace)
	})
	var columns []widget.Column
	if len(s.clusters) > 1 {
		columns = append(columns, widget.Column{Title: "Cluster", Min: 8})
	}
	if len(s.namespaces) != 1 {
		columns = append(columns, widget.Column{Title: "Namespace", Min: 8})
	}
	s.table.SetColumns(append(columns, widget.Column{Title: "Kind"}, widget.Column{Title: "Name", Min: 16}, widget.Column{Title: "Ready"},
		widget.Column{Title: "Status"}, widget.Column{Title: "Age"}, widget.Column{Title: "Images", Min: 16, Spare: true}))
	var lines []gridLine
	for i, item := range s.items {
		if s.faults && health(item.in, item.row) == theme.Good {
			continue
		}
		lines = append(lines, s.line(w, i, item))
	}
	s.set(lines)
}

func (s *Workloads) line(w *World, i int, item workload) gridLine {
	var cells []cell
	if len(s.clusters) > 1 {
		cells = append(cells, dimCell(item.row.Cluster))
	}
	if len(s.namespaces) != 1 {
		cells = append(cells, dimCell(item.row.Namespace))
	}
	ready := item.ready()
	return gridLine{key: item.in.Resource.ID() + " " + item.row.Key(), at: i, labels: item.row.Labels, cells: append(cells,
		plainCell(item.in.Resource.Kind), cell{item.row.Name, theme.Accent}, cell{ready, parts(ready)}, stateCell(item.status(ready)),
		dimCell(object.Age(item.row.Created, w.Now)), dimCell(cellOf(item.in, item.row, "Images")),
	)}
}

// ready is how many of how many there shall be.
func (item workload) ready() string {
	switch item.in.Resource.ID() {
	case "daemonsets.apps":
		return cellOf(item.in, item.row, "Ready") + "/" + cellOf(item.in, item.row, "Desired")
	case "jobs.batch":
		return cellOf(item.in, item.row, "Completions")
	case "cronjobs.batch":
		return "-"
	}
	return cellOf(item.in, item.row, "Ready")
}

// status is a word for how it is.
func (item workload) status(ready string) string {
	switch {
	case item.row.Deleting:
		return "Terminating"
	case item.in.Resource.ID() == "jobs.batch":
		return cellOf(item.in, item.row, "Status")
	case item.in.Resource.ID() == "cronjobs.batch" && strings.EqualFold(cellOf(item.in, item.row, "Suspend"), "true"):
		return "Suspended"
	case item.in.Resource.ID() == "cronjobs.batch":
		return cellOf(item.in, item.row, "Schedule")
	case strings.HasSuffix(ready, "/0"):
		return "scaled to 0"
	}
	if have, wanted, _ := strings.Cut(ready, "/"); have == wanted {
		return "Available"
	}
	return "Progressing"
}

func (item workload) ref() object.Ref {
	return object.Ref{Cluster: item.row.Cluster, Resource: item.in.Resource, Namespace: item.row.Namespace, Name: item.row.Name}
}

// Current is the object under the cursor.
func (s *Workloads) Current() (object.Ref, bool) {
	if at := s.at(); at >= 0 {
		return s.items[at].ref(), true
	}
	return object.Ref{}, false
}

// Act is Screen's.
func (s *Workloads) Act(w *World, a keys.Action) []Request {
	if scroll(s.table, a) || mark(s.table, a) {
		return nil
	}
	switch a {
	case keys.Faults:
		s.faults = !s.faults
		s.refresh(w)
		return nil
	case keys.Pick:
		return []Request{Push{Screen: NewNamespaces(w)}}
	case keys.PickAll:
		s.own = nil
		return []Request{Choose{Namespaces: []string{}}}
	}
	at := s.at()
	if at < 0 {
		return nil
	}
	on := aim{ref: s.items[at].ref(), uid: s.items[at].row.UID}
	for _, i := range s.table.Marked() {
		on.refs = append(on.refs, s.items[s.lines[i].at].ref())
	}
	if a != keys.Delete { // all kinds can be deleted; what else can be done differs
		on.refs = slices.DeleteFunc(on.refs, func(r object.Ref) bool { return r.Resource.ID() != on.ref.Resource.ID() })
		if len(on.refs) == 0 {
			on.refs = []object.Ref{on.ref}
		}
	}
	return act(w, a, on)
}

// View is Screen's.
func (s *Workloads) View(w *World, width, height int) []string {
	lines := s.table.View(w.Theme, width, height)
	if len(s.lines) > 0 {
		return lines
	}
	text := "no workloads found"
	switch fresh := s.Freshness(); {
	case len(s.items) > 0:
		text = noMatch
	case fresh.State == object.Loading:
		text = loading
	case fresh.Problem != "":
		text = fresh.Problem
	}
	return append(lines, "", w.Theme.Paint(theme.Dim, "  "+text))
}
