package screen

import (
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Help lists the keys of a screen, made from the key map in force, and the
// commands.
type Help struct {
	of       Screen
	commands [][2]string
	text     widget.Text
	filter   filter.Filter
	width    int
}

// NewHelp returns the help of a screen. commands are names and what they do.
func NewHelp(of Screen, commands [][2]string) *Help {
	return &Help{of: of, commands: commands}
}

// Crumb is Screen's.
func (h *Help) Crumb() string { return "help" }

// Title is Screen's.
func (h *Help) Title() string { return "Help: " + h.of.Crumb() }

// Scopes is Screen's.
func (h *Help) Scopes() []keys.Scope { return []keys.Scope{keys.Text} }

// Needs is Screen's.
func (h *Help) Needs() []feed.Need { return nil }

// Take is Screen's.
func (h *Help) Take(*World, any) {}

// SetFilter is Filtered's.
func (h *Help) SetFilter(_ *World, f filter.Filter) {
	h.filter = f
	h.text.Search(f.Pattern())
}

// Filter is Filtered's.
func (h *Help) Filter() filter.Filter { return h.filter }

// Wheel is Pointed's.
func (h *Help) Wheel(n int) { h.text.Move(3 * n) }

// Click is Pointed's.
func (h *Help) Click(int, int) (bool, []Request) { return false, nil }

// Act is Screen's.
func (h *Help) Act(_ *World, a keys.Action) []Request {
	scrollText(&h.text, a)
	return nil
}

// View is Screen's.
func (h *Help) View(w *World, width, height int) []string {
	if h.width != width {
		h.width = width
		h.text.Set(strings.Join(h.lines(w, width), "\n"))
	}
	return h.text.View(w.Theme, width, height)
}

func (h *Help) lines(w *World, width int) []string {
	var entries [][2]string
	scope := keys.Scope("")
	_, filtered := h.of.(Filtered)
	for _, b := range w.Keys.In(h.of.Scopes()...) {
		if b.Action == keys.Filter && !filtered {
			continue
		}
		if b.Scope != scope {
			scope = b.Scope
			entries = append(entries, [2]string{"", strings.ToUpper(string(scope))})
		}
		var labels []string
		for _, k := range b.Keys {
			labels = append(labels, keys.Label(k))
		}
		text := b.Help
		if b.Changes && w.ReadOnly {
			text += " (disabled: read-only)"
		}
		entries = append(entries, [2]string{strings.Join(labels, " "), text})
	}
	entries = append(entries, [2]string{"", "COMMANDS"})
	entries = append(entries, h.commands...)
	if filtered {
		entries = append(entries, filters...)
	}
	for columns := maxHelpColumns; columns > 1; columns-- {
		if lines, used := inColumns(w.Theme, entries, columns); used <= width {
			return lines
		}
	}
	lines, _ := inColumns(w.Theme, entries, 1)
	return lines
}

// maxHelpColumns is in how many columns keys are listed at most: as many as
// there is room for without cutting one.
const maxHelpColumns = 4

// inColumns lays entries out in columns, read from the top of each to its end,
// and says how wide that is.
func inColumns(th *theme.Theme, entries [][2]string, columns int) (lines []string, used int) {
	each := (len(entries) + columns - 1) / columns
	lines = make([]string, each)
	for part := range slices.Chunk(entries, each) {
		label, widest := 0, 0
		for _, e := range part {
			label = max(label, widget.Width(e[0]))
		}
		texts := make([]string, each)
		for i, e := range part {
			texts[i] = " " + helpLine(th, e, label)
			widest = max(widest, widget.Width(texts[i]))
		}
		for i, text := range texts {
			lines[i] += widget.Fit(text, widest+1)
		}
		used += widest + 1
	}
	return lines, used
}

// filters are what can be typed after "/".
var filters = [][2]string{
	{"", "FILTERS"}, {"/text", "regular expression"}, {"/!text", "inverse"},
	{"/-l app=web", "label selector"}, {"/-f wb", "fuzzy"},
}

func helpLine(th *theme.Theme, entry [2]string, label int) string {
	if entry[0] == "" {
		return th.Paint(theme.Title, entry[1])
	}
	return th.Paint(theme.Key, " "+widget.FitRight(entry[0], label)) + "  " + entry[1]
}
