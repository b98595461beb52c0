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

// Pulse shows how a whole cluster is on one screen.
type Pulse struct {
	clusters  []string
	resources []object.Resource
	tables    map[string]object.Table       // by cluster and resource
	tallies   map[string]map[theme.Tone]int // of those tables
	usage     map[string]feed.Stats
	cpu       widget.Series
	memory    widget.Series
	pods      widget.Series
	at        int // the card under the cursor
	columns   int
}

// pulseOf are the resources that have a card.
var pulseOf = []object.Resource{
	object.Nodes, object.Pods, object.Deployments, object.StatefulSets, object.DaemonSets, object.Jobs, object.CronJobs,
	object.Services, object.Claims, object.Events,
}

// NewPulse returns the screen.
func NewPulse(w *World) *Pulse {
	return &Pulse{clusters: w.Clusters, resources: pulseOf, tables: map[string]object.Table{}, tallies: map[string]map[theme.Tone]int{}, usage: map[string]feed.Stats{}, columns: 1}
}

// Rechoose is called when other clusters were chosen.
func (p *Pulse) Rechoose(w *World) {
	p.clusters = w.Clusters
	clear(p.tables)
	clear(p.tallies)
}

// Crumb is Screen's.
func (p *Pulse) Crumb() string { return "pulse" }

// Title is Screen's.
func (p *Pulse) Title() string { return "Pulse of " + strings.Join(few(p.clusters, 3), ", ") }

// Scopes is Screen's.
func (p *Pulse) Scopes() []keys.Scope { return []keys.Scope{keys.Cards} }

// Needs is Screen's.
func (p *Pulse) Needs() []feed.Need {
	var needs []feed.Need
	for _, cluster := range p.clusters {
		for _, r := range p.resources {
			needs = append(needs, feed.Objects{Cluster: cluster, Resource: r})
		}
		needs = append(needs, feed.Usage{Cluster: cluster})
	}
	return needs
}

// Freshness is Dated's.
func (p *Pulse) Freshness() object.Freshness {
	var sources []string
	for _, cluster := range p.clusters {
		for _, r := range p.resources {
			sources = append(sources, cluster+" "+r.ID())
		}
	}
	return oldest(sources, func(source string) object.Freshness { return p.tables[source].Freshness })
}

// Take is Screen's.
func (p *Pulse) Take(_ *World, delivery any) {
	switch d := delivery.(type) {
	case object.Table:
		p.tables[d.Cluster+" "+d.Resource.ID()] = d
		tally := map[theme.Tone]int{}
		for _, row := range d.Rows {
			tally[health(d, row)]++
		}
		p.tallies[d.Cluster+" "+d.Resource.ID()] = tally
		if d.Resource.ID() == "pods" {
			p.pods = p.pods.Add(float64(len(d.Rows)))
		}
	case feed.Stats:
		p.usage[d.Cluster] = d
		var cpu, memory float64
		for _, s := range p.usage {
			for _, u := range s.Nodes {
				cpu, memory = cpu+float64(u.MilliCPU), memory+float64(u.MemoryBytes)
			}
		}
		if memory > 0 { // some kubelet has answered
			p.cpu, p.memory = p.cpu.Add(cpu), p.memory.Add(memory)
		}
	}
}

// Act is Screen's.
func (p *Pulse) Act(w *World, a keys.Action) []Request {
	step := map[keys.Action]int{keys.Left: -1, keys.Right: 1, keys.Up: -p.columns, keys.Down: p.columns}[a]
	p.at = max(0, min(p.at+step, len(p.resources)-1))
	if a == keys.Enter && len(p.resources) > 0 {
		return Open(w, p.resources[p.at])
	}
	return nil
}

// Open is what shows a resource best.
func Open(w *World, r object.Resource) []Request {
	if r.ID() == "nodes" {
		return []Request{Push{Screen: NewNodes(w)}}
	}
	return []Request{Push{Screen: NewObjects(w, r, Narrow{})}}
}

// Click is Pointed's.
func (p *Pulse) Click(x, y int) (hit bool, requests []Request) {
	if y < pulseTop || p.columns == 0 {
		return false, nil
	}
	at := (y-pulseTop)/cardHeight*p.columns + x/cardWidth
	if at >= len(p.resources) {
		return false, nil
	}
	p.at = at
	return true, nil
}

// Wheel is Pointed's.
func (p *Pulse) Wheel(n int) { p.at = max(0, min(p.at+n, len(p.resources)-1)) }

// Sizes of a card, in cells.
const (
	cardWidth  = 26
	cardHeight = 4
	pulseTop   = 4
)

// View is Screen's.
func (p *Pulse) View(w *World, width, height int) []string {
	th := w.Theme
	graph := max(10, min(70, width-40))
	line := func(name, now string, s widget.Series, tone theme.Tone) string {
		return "  " + th.Paint(theme.Dim, widget.Fit(name, 9)) + widget.Fit(now, 12) + th.Paint(tone, widget.Spark(s, graph, 0))
	}
	cpu, memory := "-", "-"
	if len(p.cpu) > 0 {
		cpu, memory = fmt.Sprintf("%.2f cores", p.cpu.Last()/1000), bytes(int64(p.memory.Last()))
	}
	lines := []string{line("CPU", cpu, p.cpu, theme.Good), line("memory", memory, p.memory, theme.Busy), line("pods", fmt.Sprintf("%.0f", p.pods.Last()), p.pods, theme.Number), ""}
	p.columns = max(1, width/cardWidth)
	for i := 0; i < len(p.resources); i += p.columns {
		row := make([]string, cardHeight)
		for j := i; j < min(i+p.columns, len(p.resources)); j++ {
			for k, l := range p.card(th, p.resources[j], j == p.at) {
				row[k] += l
			}
		}
		lines = append(lines, row...)
	}
	if rest := height - len(lines); rest > 2 {
		lines = append(lines, p.warnings(w, width, rest)...)
	}
	return lines
}

// card is one resource: how many there are and how they are.
func (p *Pulse) card(th *theme.Theme, r object.Resource, selected bool) []string {
	tally, total := map[theme.Tone]int{}, 0
	for _, cluster := range p.clusters {
		for tone, n := range p.tallies[cluster+" "+r.ID()] {
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
		line(legend(th, tally)),
		th.Paint(frame, string(lines[4])+strings.Repeat(string(lines[1]), inner+2)+string(lines[5])) + " ",
	}
}

// health is the worst that the cells of an object say.
func health(t object.Table, r *object.Row) theme.Tone {
	worst := theme.Good
	if lacking(t, r) {
		worst = theme.Warn
	}
	for i, c := range t.Columns {
		if i >= len(r.Cells) || c.Name == "Restarts" {
			continue
		}
		switch got := tone(t.Resource, c.Name, r.Cells[i]); {
		case got == theme.Bad:
			return theme.Bad
		case got == theme.Warn, got == theme.Busy && worst != theme.Warn:
			worst = got
		}
	}
	return worst
}

// lacking says that fewer are ready than are wanted, of a resource that has a
// column for each.
func lacking(t object.Table, r *object.Row) bool {
	wanted, ready := cellOf(t, r, "Desired"), cellOf(t, r, "Ready")
	return wanted != "" && ready != "" && wanted != ready
}

var order = []theme.Tone{theme.Good, theme.Busy, theme.Warn, theme.Bad}

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

// marksOf tell tones apart without colours.
var marksOf = map[theme.Tone]string{theme.Good: "█", theme.Busy: "▓", theme.Warn: "▒", theme.Bad: "▚"}

func legend(th *theme.Theme, tally map[theme.Tone]int) string {
	var parts []string
	for _, t := range order {
		if tally[t] > 0 {
			name := map[theme.Tone]string{theme.Good: "healthy", theme.Busy: "pending", theme.Warn: "degraded", theme.Bad: "failing"}[t]
			parts = append(parts, th.Paint(t, fmt.Sprintf("%d %s", tally[t], name)))
		}
	}
	return strings.Join(parts, " ")
}

// warnings are the last events of that kind.
func (p *Pulse) warnings(w *World, width, height int) []string {
	type warning struct {
		row *object.Row
		t   object.Table
	}
	var found []warning
	for _, cluster := range p.clusters {
		t := p.tables[cluster+" events"]
		for _, r := range t.Rows {
			if cellOf(t, r, "Type") == "Warning" {
				found = append(found, warning{r, t})
			}
		}
	}
	slices.SortFunc(found, func(a, b warning) int { return b.row.Read.Compare(a.row.Read) })
	var lines []string
	for _, f := range found[:min(len(found), height-1)] {
		lines = append(lines, "  "+w.Theme.Paint(theme.Warn, widget.Fit(widget.Cut(cellOf(f.t, f.row, "Reason"), 19), 20))+
			w.Theme.Paint(theme.Accent, widget.Fit(cellOf(f.t, f.row, "Object"), 36))+widget.Cut(cellOf(f.t, f.row, "Message"), max(10, width-60)))
	}
	if len(lines) == 0 {
		lines = []string{w.Theme.Paint(theme.Dim, "  no warnings")}
	}
	return panel(w.Theme, "Warnings", width, lines...)
}

func cellOf(t object.Table, r *object.Row, column string) string {
	for i, c := range t.Columns {
		if c.Name == column && i < len(r.Cells) {
			return r.Cells[i]
		}
	}
	return ""
}
