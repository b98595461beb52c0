// Package grid is a small table for screens that rebuild all rows when their
// data changes. It filters the rows and handles the mouse.
package grid

import (
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Cell of a grid.
type Cell struct {
	Text string
	Tone theme.Tone
}

// Line is a row of a grid.
type Line struct {
	Key    string
	Cells  []Cell
	Labels map[string]string
	// At is the index of the item that the line shows.
	At int
}

// Grid is a table with a filter. It implements screen.Filtered and
// screen.Pointed.
type Grid struct {
	Table *widget.Table
	// Lines are the lines that match the filter.
	Lines []Line

	filter filter.Filter
	all    []Line
}

// New returns an empty grid.
func New(columns ...widget.Column) Grid { return Grid{Table: widget.NewTable(columns)} }

// Filter implements screen.Filtered.
func (g *Grid) Filter() filter.Filter { return g.filter }

// SetFilter implements screen.Filtered.
func (g *Grid) SetFilter(_ *screen.World, f filter.Filter) {
	g.Table.Hold()
	g.filter = f
	g.Set(g.all)
}

// Set replaces the lines.
func (g *Grid) Set(lines []Line) {
	g.all, g.Lines = lines, nil
	for _, l := range lines {
		var texts []string
		for _, c := range l.Cells {
			texts = append(texts, c.Text)
		}
		if g.filter.Match(texts, l.Labels) {
			g.Lines = append(g.Lines, l)
		}
	}
	g.Table.SetSource(source{g})
}

// source implements widget.Source.
type source struct{ g *Grid }

func (s source) Len() int         { return len(s.g.Lines) }
func (s source) Key(i int) string { return s.g.Lines[i].Key }

func (s source) Cell(i, c int) string { return s.g.cell(i, c).Text }

func (s source) Tone(i, c int) theme.Tone { return s.g.cell(i, c).Tone }

func (g *Grid) cell(i, c int) Cell {
	if c < len(g.Lines[i].Cells) {
		return g.Lines[i].Cells[c]
	}
	return Cell{}
}

// At returns the index of the item under the cursor, or -1.
func (g *Grid) At() int {
	if row := g.Table.Row(); row >= 0 {
		return g.Lines[row].At
	}
	return -1
}

// Marked returns the indexes of the marked items, or of the one under the cursor
// if none is marked.
func (g *Grid) Marked() []int {
	var items []int
	for _, row := range g.Table.Marked() {
		items = append(items, g.Lines[row].At)
	}
	return items
}

// Click implements screen.Pointed. A click on the header sorts by that column.
func (g *Grid) Click(x, y int) (hit bool, requests []screen.Request) {
	if y == 0 {
		g.Table.ClickHeader(x)
		return false, nil
	}
	return g.Table.Click(y - 1), nil
}

// Wheel implements screen.Pointed.
func (g *Grid) Wheel(n int) { g.Table.Move(n) }

// View draws the table, or a note if there are no rows: none is the note for
// complete data without items.
func (g *Grid) View(w *screen.World, width, height int, fresh object.Freshness, none string) []string {
	lines := g.Table.View(w.Theme, width, height)
	if len(g.Lines) > 0 {
		return lines
	}
	return append(lines, "", format.Note(w.Theme, Note(fresh, len(g.all), none)))
}

// Note explains why there are no rows. Total is the number of rows before the
// filter.
func Note(fresh object.Freshness, total int, none string) string {
	switch {
	case total > 0:
		return format.NoMatch
	case fresh.State == object.Loading && fresh.Problem == "":
		return format.Loading
	case fresh.State == object.Refused:
		return "unavailable: " + fresh.Problem
	case fresh.Problem != "":
		return fresh.Problem
	}
	return none
}

// Plain returns a cell without a tone.
func Plain(text string) Cell { return Cell{text, theme.Plain} }

// Dim returns a cell of little weight.
func Dim(text string) Cell { return Cell{text, theme.Dim} }

// State returns a cell in the tone of a state.
func State(text string) Cell { return Cell{text, format.StateTone(text)} }
