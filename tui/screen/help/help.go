// Package help is the screen that lists the keys of another screen, from the key
// map in force, and all commands.
package help

import (
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Screen lists keys and commands.
type Screen struct {
	of       screen.Screen
	commands []Entry
	text     widget.Text
	filter   filter.Filter
	width    int
}

// Entry is a key or command and what it does. An entry without a Label is a
// heading.
type Entry struct{ Label, Text string }

// New returns the help of a screen.
func New(of screen.Screen, commands []Entry) *Screen {
	return &Screen{of: of, commands: commands}
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "help" }

// Title implements screen.Screen.
func (s *Screen) Title() string { return "Help: " + s.of.Crumb() }

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope { return []keys.Scope{keys.Text} }

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need { return nil }

// Take implements screen.Screen.
func (s *Screen) Take(*screen.World, any) {}

// SetFilter implements screen.Filtered. It searches.
func (s *Screen) SetFilter(_ *screen.World, f filter.Filter) {
	s.filter = f
	s.text.Search(f.Pattern())
}

// Filter implements screen.Filtered.
func (s *Screen) Filter() filter.Filter { return s.filter }

// Wheel implements screen.Pointed.
func (s *Screen) Wheel(n int) { s.text.Move(3 * n) }

// Click implements screen.Pointed.
func (s *Screen) Click(int, int) (bool, []screen.Request) { return false, nil }

// Act implements screen.Screen.
func (s *Screen) Act(_ *screen.World, a keys.Action) []screen.Request {
	s.text.Act(a)
	return nil
}

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	if s.width != width {
		s.width = width
		s.text.Set(strings.Join(layout(w.Theme, s.entries(w), width), "\n"))
	}
	return s.text.View(w.Theme, width, height)
}

// entries returns the keys that apply, the commands and the filters.
func (s *Screen) entries(w *screen.World) []Entry {
	var entries []Entry
	scope := keys.Scope("")
	_, filtered := s.of.(screen.Filtered)
	for _, b := range w.Keys.In(s.of.Scopes()...) {
		if b.Action == keys.Filter && !filtered {
			continue
		}
		if b.Scope != scope {
			scope = b.Scope
			entries = append(entries, Entry{Text: strings.ToUpper(string(scope))})
		}
		var labels []string
		for _, k := range b.Keys {
			labels = append(labels, keys.Label(k))
		}
		text := b.Help
		if b.Changes && w.ReadOnly {
			text += " (disabled: read-only)"
		}
		entries = append(entries, Entry{strings.Join(labels, " "), text})
	}
	entries = append(append(entries, Entry{Text: "COMMANDS"}), s.commands...)
	if filtered {
		entries = append(entries, filters...)
	}
	return entries
}

// filters lists what can be typed after "/".
var filters = []Entry{
	{"", "FILTERS"}, {"/text", "regular expression"}, {"/!text", "inverse"}, {"/-l app=web", "label selector"}, {"/-f wb", "fuzzy"},
}

// maxColumns is the maximum number of columns.
const maxColumns = 4

// layout arranges entries in as many columns as fit without cutting any.
func layout(th *theme.Theme, entries []Entry, width int) []string {
	for columns := maxColumns; columns > 1; columns-- {
		if lines, used := inColumns(th, entries, columns); used <= width {
			return lines
		}
	}
	lines, _ := inColumns(th, entries, 1)
	return lines
}

// inColumns arranges entries in columns, top to bottom, and returns the width in
// cells.
func inColumns(th *theme.Theme, entries []Entry, columns int) (lines []string, used int) {
	each := (len(entries) + columns - 1) / columns
	lines = make([]string, each)
	for part := range slices.Chunk(entries, each) {
		label, widest := 0, 0
		for _, e := range part {
			label = max(label, widget.Width(e.Label))
		}
		texts := make([]string, each)
		for i, e := range part {
			texts[i] = " " + e.draw(th, label)
			widest = max(widest, widget.Width(texts[i]))
		}
		for i, text := range texts {
			lines[i] += widget.Fit(text, widest+1)
		}
		used += widest + 1
	}
	return lines, used
}

func (e Entry) draw(th *theme.Theme, label int) string {
	if e.Label == "" {
		return th.Paint(theme.Title, e.Text)
	}
	return th.Paint(theme.Key, " "+widget.FitRight(e.Label, label)) + "  " + e.Text
}
