// Package pulse is the screen that gives an overview of whole clusters.
package pulse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Screen shows a card with counts for each of the most important resources.
type Screen struct {
	clusters  []string
	resources []object.Resource             // those with a card
	tables    map[string]object.Table       // by cluster and resource
	tallies   map[string]map[theme.Tone]int // of those tables
	usage     map[string]feed.Stats
	cpu       widget.Series
	memory    widget.Series
	pods      widget.Series
	at        int // the card under the cursor
	columns   int
}

// New returns the screen.
func New(w *screen.World) *Screen {
	return &Screen{clusters: w.Clusters, resources: kind.Cards(), tables: map[string]object.Table{}, tallies: map[string]map[theme.Tone]int{}, usage: map[string]feed.Stats{}, columns: 1}
}

// Resume implements screen.Resumer.
func (s *Screen) Resume(earlier screen.Screen) {
	if e, ok := earlier.(*Screen); ok && slices.Equal(e.clusters, s.clusters) {
		s.cpu, s.memory, s.pods = e.cpu, e.memory, e.pods
	}
}

// Rechoose implements screen.Chooser.
func (s *Screen) Rechoose(w *screen.World) {
	s.clusters = w.Clusters
	clear(s.tables)
	clear(s.tallies)
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "pulse" }

// Title implements screen.Screen.
func (s *Screen) Title() string { return "Pulse of " + strings.Join(format.Few(s.clusters, 3), ", ") }

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope { return []keys.Scope{keys.Cards} }

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need {
	var needs []feed.Need
	for _, cluster := range s.clusters {
		for _, r := range s.resources {
			needs = append(needs, feed.Objects{Cluster: cluster, Resource: r})
		}
		needs = append(needs, feed.Usage{Cluster: cluster})
	}
	return needs
}

// Start implements screen.Remembered.
func (s *Screen) Start() (view string, resource object.Resource) { return "pulse", object.Resource{} }

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness {
	var sources []string
	for _, cluster := range s.clusters {
		for _, r := range s.resources {
			sources = append(sources, cluster+" "+r.ID())
		}
	}
	return object.Stalest(sources, func(source string) object.Freshness { return s.tables[source].Freshness })
}

// Take implements screen.Screen.
func (s *Screen) Take(_ *screen.World, delivery any) {
	switch d := delivery.(type) {
	case object.Table:
		s.tables[d.Cluster+" "+d.Resource.ID()] = d
		tally := map[theme.Tone]int{}
		for _, row := range d.Rows {
			tally[format.Health(d, row)]++
		}
		s.tallies[d.Cluster+" "+d.Resource.ID()] = tally
		if d.Resource.ID() == object.Pods.ID() {
			s.pods = s.pods.Add(float64(len(d.Rows)))
		}
	case feed.Stats:
		s.usage[d.Cluster] = d
		var cpu, memory float64
		for _, stats := range s.usage {
			for _, u := range stats.Nodes {
				cpu, memory = cpu+float64(u.MilliCPU), memory+float64(u.MemoryBytes)
			}
		}
		if memory > 0 { // a kubelet has answered
			s.cpu, s.memory = s.cpu.Add(cpu), s.memory.Add(memory)
		}
	}
}

// Act implements screen.Screen.
func (s *Screen) Act(_ *screen.World, a keys.Action) []screen.Request {
	step := map[keys.Action]int{keys.Left: -1, keys.Right: 1, keys.Up: -s.columns, keys.Down: s.columns}[a]
	s.at = max(0, min(s.at+step, len(s.resources)-1))
	if a == keys.Enter && len(s.resources) > 0 {
		return screen.Show(screen.Resource(s.resources[s.at]))
	}
	return nil
}

// Click implements screen.Pointed.
func (s *Screen) Click(x, y int) (hit bool, requests []screen.Request) {
	if y < cardTop || s.columns == 0 {
		return false, nil
	}
	at := (y-cardTop)/cardHeight*s.columns + x/cardWidth
	if at >= len(s.resources) {
		return false, nil
	}
	s.at = at
	return true, nil
}

// Wheel implements screen.Pointed.
func (s *Screen) Wheel(n int) { s.at = max(0, min(s.at+n, len(s.resources)-1)) }

// Layout in cells.
const (
	cardWidth  = 26
	cardHeight = 4
	cardTop    = 4
)

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	th := w.Theme
	graph := max(10, min(70, width-40))
	line := func(name, now string, s widget.Series, tone theme.Tone) string {
		return "  " + th.Paint(theme.Dim, widget.Fit(name, 9)) + widget.Fit(now, 12) + th.Paint(tone, widget.Spark(s, graph, 0))
	}
	cpu, memory := "-", "-"
	if len(s.cpu) > 0 {
		cpu, memory = fmt.Sprintf("%.2f cores", s.cpu.Last()/1000), format.Bytes(int64(s.memory.Last()))
	}
	lines := []string{line("CPU", cpu, s.cpu, theme.Good), line("memory", memory, s.memory, theme.Busy), line("pods", fmt.Sprintf("%.0f", s.pods.Last()), s.pods, theme.Number), ""}
	s.columns = max(1, width/cardWidth)
	for i := 0; i < len(s.resources); i += s.columns {
		row := make([]string, cardHeight)
		for j := i; j < min(i+s.columns, len(s.resources)); j++ {
			for k, l := range s.card(th, s.resources[j], j == s.at) {
				row[k] += l
			}
		}
		lines = append(lines, row...)
	}
	if rest := height - len(lines); rest > 2 {
		lines = append(lines, s.warnings(w, width, rest)...)
	}
	return lines
}

// card draws the number of objects of a resource and their health.
func (s *Screen) card(th *theme.Theme, r object.Resource, selected bool) []string {
	tally, total := map[theme.Tone]int{}, 0
	for _, cluster := range s.clusters {
		for tone, n := range s.tallies[cluster+" "+r.ID()] {
			tally[tone] += n
			total += n
		}
	}
	frame, lines := theme.Frame, []rune("╭─╮│╰╯")
	if selected {
		frame, lines = theme.Accent, []rune("┏━┓┃┗┛")
	}
	inner := cardWidth - 5
	edge := th.Paint(frame, string(lines[3]))
	number := fmt.Sprintf(" %d", total)
	title := widget.Cut(r.Title(), inner-1-len(number))
	line := func(text string) string { return edge + " " + widget.Fit(text, inner) + " " + edge + " " }
	return []string{
		th.Paint(frame, string(lines[0])+" ") + th.Paint(theme.Accent, title) + th.Paint(theme.Title, number) +
			th.Paint(frame, " "+strings.Repeat(string(lines[1]), inner-widget.Width(title)-len(number))+string(lines[2])) + " ",
		line(bar(th, tally, total, inner)),
		line(legend(th, tally, r)),
		th.Paint(frame, string(lines[4])+strings.Repeat(string(lines[1]), inner+2)+string(lines[5])) + " ",
	}
}

// order is that of the parts of a bar.
var order = []theme.Tone{theme.Good, theme.Busy, theme.Warn, theme.Bad}

// bar draws the shares of healthy, pending, degraded and failing objects. Each
// state that occurs gets at least one cell.
func bar(th *theme.Theme, tally map[theme.Tone]int, total, width int) string {
	if total == 0 {
		return th.Paint(theme.Frame, strings.Repeat("·", width))
	}
	var out strings.Builder
	used := 0
	for i, tone := range order {
		cells := (tally[tone]*width + total - 1) / total
		rest := 0
		for _, later := range order[i+1:] {
			if tally[later] > 0 {
				rest++
			}
		}
		if cells = min(cells, width-used-rest); rest == 0 && tally[tone] > 0 {
			cells = width - used
		}
		if tally[tone] > 0 {
			out.WriteString(th.Paint(tone, strings.Repeat(marksOf[tone], max(cells, 0))))
			used += max(cells, 0)
		}
	}
	return widget.Fit(out.String(), width)
}

// marksOf distinguishes tones without colours.
var marksOf = map[theme.Tone]string{theme.Good: "█", theme.Busy: "▓", theme.Warn: "▒", theme.Bad: "▚"}

// legend counts the objects by health, worst first: a card has no room for more
// than two or three of them.
func legend(th *theme.Theme, tally map[theme.Tone]int, r object.Resource) string {
	names := states
	if r.ID() == object.Events.ID() {
		names = eventTypes
	}
	var parts []string
	for _, t := range slices.Backward(order) {
		if tally[t] > 0 {
			parts = append(parts, th.Paint(t, fmt.Sprintf("%d %s", tally[t], names[t])))
		}
	}
	return strings.Join(parts, " ")
}

// states names the tones of objects.
var states = map[theme.Tone]string{theme.Good: "healthy", theme.Busy: "pending", theme.Warn: "degraded", theme.Bad: "failing"}

// eventTypes names the tones of events.
var eventTypes = map[theme.Tone]string{theme.Good: "normal", theme.Warn: "warning"}

// warnings draws the latest warning events.
func (s *Screen) warnings(w *screen.World, width, height int) []string {
	type warning struct {
		row *object.Row
		t   object.Table
	}
	var found []warning
	for _, cluster := range s.clusters {
		t := s.tables[cluster+" "+object.Events.ID()]
		for _, r := range t.Rows {
			if t.Cell(r, "Type") == "Warning" {
				found = append(found, warning{r, t})
			}
		}
	}
	slices.SortFunc(found, func(a, b warning) int { return b.row.Read.Compare(a.row.Read) })
	var lines []string
	for _, f := range found[:min(len(found), height-1)] {
		lines = append(lines, "  "+w.Theme.Paint(theme.Warn, widget.Fit(widget.Cut(f.t.Cell(f.row, "Reason"), 19), 20))+
			w.Theme.Paint(theme.Accent, widget.Fit(f.t.Cell(f.row, "Object"), 36))+widget.Cut(f.t.Cell(f.row, "Message"), max(10, width-60)))
	}
	if len(lines) == 0 {
		lines = []string{w.Theme.Paint(theme.Dim, "  no warnings")}
	}
	return format.Panel(w.Theme, "Warnings", width, lines...)
}
