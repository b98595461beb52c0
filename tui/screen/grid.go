package screen

import (
	"strings"

	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// cell of a grid.
type cell struct {
	text string
	tone theme.Tone
}

// line of a grid; at is its index in what it was made from.
type gridLine struct {
	key    string
	cells  []cell
	labels map[string]string
	at     int
}

// grid is a small table that is made anew when its data change.
type grid struct {
	table  *widget.Table
	filter filter.Filter
	lines  []gridLine // those of all that pass the filter
	all    []gridLine
}

func newGrid(columns ...widget.Column) grid {
	return grid{table: widget.NewTable(columns)}
}

// Filter is Filtered's.
func (g *grid) Filter() filter.Filter { return g.filter }

// SetFilter is Filtered's.
func (g *grid) SetFilter(_ *World, f filter.Filter) {
	g.table.Hold()
	g.filter = f
	g.set(g.all)
}

// set shows other lines, those that pass the filter.
func (g *grid) set(lines []gridLine) {
	g.all, g.lines = lines, nil
	for _, l := range lines {
		var texts []string
		for _, c := range l.cells {
			texts = append(texts, c.text)
		}
		if g.filter.Match(texts, l.labels) {
			g.lines = append(g.lines, l)
		}
	}
	g.table.SetSource(g)
}

// Len is widget.Source's.
func (g *grid) Len() int { return len(g.lines) }

// Key is widget.Source's.
func (g *grid) Key(i int) string { return g.lines[i].key }

// Cell is widget.Source's.
func (g *grid) Cell(i, c int) string {
	if c < len(g.lines[i].cells) {
		return g.lines[i].cells[c].text
	}
	return ""
}

// Tone is widget.Source's.
func (g *grid) Tone(i, c int) theme.Tone {
	if c < len(g.lines[i].cells) {
		return g.lines[i].cells[c].tone
	}
	return theme.Plain
}

// at is the index of what the line under the cursor was made from, -1 if there
// is none.
func (g *grid) at() int {
	if row := g.table.Row(); row >= 0 {
		return g.lines[row].at
	}
	return -1
}

// Click is Pointed's: it sorts by the column whose header was clicked, or puts the
// cursor on a row.
func (g *grid) Click(x, y int) (hit bool, requests []Request) {
	if y == 0 {
		g.table.ClickHeader(x)
		return false, nil
	}
	return g.table.Click(y - 1), nil
}

// Wheel is Pointed's.
func (g *grid) Wheel(n int) { g.table.Move(n) }

func plainCell(text string) cell { return cell{text, theme.Plain} }

func dimCell(text string) cell { return cell{text, theme.Dim} }

func stateCell(text string) cell { return cell{text, toneOf(text)} }

// beside puts two blocks of lines side by side.
func beside(left, right []string, leftWidth, space int) []string {
	var lines []string
	for i := range max(len(left), len(right)) {
		l, r := "", ""
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		lines = append(lines, widget.Fit(l, leftWidth)+strings.Repeat(" ", space)+r)
	}
	return lines
}

// panel is lines under a rule with a title.
func panel(th *theme.Theme, title string, width int, lines ...string) []string {
	rule := strings.Repeat("─", max(0, width-widget.Width(title)-4))
	return append([]string{th.Paint(theme.Frame, "─ ") + th.Paint(theme.Title, title) + th.Paint(theme.Frame, " "+rule)}, lines...)
}
