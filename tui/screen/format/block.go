package format

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// WideDetails is the width in cells from which details are shown side by side.
const WideDetails = 110

// Beside places two blocks of lines side by side.
func Beside(left, right []string, leftWidth, space int) []string {
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

// Panel places lines below a rule with a title.
func Panel(th *theme.Theme, title string, width int, lines ...string) []string {
	rule := strings.Repeat("─", max(0, width-widget.Width(title)-4))
	return append([]string{th.Paint(theme.Frame, "─ ") + th.Paint(theme.Title, title) + th.Paint(theme.Frame, " "+rule)}, lines...)
}

// Fact is a named value.
type Fact struct {
	Name, Value string
	Tone        theme.Tone
}

// Indent is the column at which the values of facts start.
const Indent = 13

// Facts lays out facts in lines of at most width cells.
func Facts(th *theme.Theme, facts []Fact, width int) []string {
	var lines []string
	for _, f := range facts {
		head := th.Paint(theme.Dim, widget.Fit(f.Name, Indent))
		for _, text := range strings.Split(ansi.Wrap(f.Value, max(10, width-Indent), " "), "\n") {
			lines = append(lines, head+th.Paint(f.Tone, text))
			head = strings.Repeat(" ", Indent)
		}
	}
	return lines
}

// Note returns a line that stands in place of rows.
func Note(th *theme.Theme, text string) string { return "  " + th.Paint(theme.Dim, text) }
