package widget

import (
	"regexp"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/tui/theme"
)

// Text is a document that can be scrolled, wrapped and searched.
type Text struct {
	Wrap bool
	// Colour paints a line without changing its width; nil leaves it plain.
	Colour func(th *theme.Theme, line string) string

	lines   []string
	top     int
	left    int
	width   int
	height  int
	search  *regexp.Regexp
	matches []int // indexes of matching lines
	at      int   // index in matches
	folded  []fold
	foldFor int // width that folded was computed for, 0 if it is stale
}

// fold is a part of a wrapped line, in cells.
type fold struct{ line, from, to int }

// Set replaces the text and keeps the scroll position.
func (t *Text) Set(text string) {
	t.lines = strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range t.lines {
		t.lines[i] = strings.ReplaceAll(l, "\t", "    ")
	}
	t.foldFor = 0
	t.find()
	t.Move(0)
}

// Lines returns the lines of the text.
func (t *Text) Lines() []string { return t.lines }

// Move scrolls by n lines.
func (t *Text) Move(n int) {
	t.top = max(0, min(t.top+n, t.rows()-t.height))
}

// Page returns the number of lines to scroll by.
func (t *Text) Page() int { return max(1, t.height-1) }

// Shift scrolls sideways.
func (t *Text) Shift(n int) {
	if !t.Wrap {
		t.left = max(0, t.left+n)
	}
}

// SetWrap turns wrapping of long lines on or off.
func (t *Text) SetWrap(on bool) {
	t.Wrap, t.left, t.foldFor = on, 0, 0
	t.Move(0)
}

// Search highlights matches and scrolls to the first one from the current
// position on. A nil pattern ends the search.
func (t *Text) Search(pattern *regexp.Regexp) {
	t.search = pattern
	t.find()
	for i, line := range t.matches {
		if line >= t.lineAt(t.top) {
			t.at = i
			break
		}
	}
	if pattern != nil {
		t.show()
	}
}

func (t *Text) find() {
	t.matches = t.matches[:0]
	if t.search == nil {
		return
	}
	for i, l := range t.lines {
		if t.search.MatchString(l) {
			t.matches = append(t.matches, i)
		}
	}
	t.at = min(t.at, max(0, len(t.matches)-1))
}

// Next moves n matches forward; a negative n moves back.
func (t *Text) Next(n int) {
	if len(t.matches) > 0 {
		t.at = (t.at + n + len(t.matches)) % len(t.matches)
		t.show()
	}
}

// Matches returns the number of the current match, from 1, and of all matches.
func (t *Text) Matches() (at, all int) {
	if len(t.matches) == 0 {
		return 0, 0
	}
	return t.at + 1, len(t.matches)
}

func (t *Text) show() {
	if len(t.matches) == 0 {
		return
	}
	row := t.rowOf(t.matches[t.at])
	if row < t.top || row >= t.top+t.height {
		t.top = row - t.height/2
		t.Move(0)
	}
}

func (t *Text) rows() int {
	if t.Wrap {
		t.fold()
		return len(t.folded)
	}
	return len(t.lines)
}

func (t *Text) lineAt(row int) int {
	if t.Wrap && row < len(t.folded) {
		return t.folded[row].line
	}
	return row
}

func (t *Text) rowOf(line int) int {
	if !t.Wrap {
		return line
	}
	t.fold()
	for row, f := range t.folded {
		if f.line == line {
			return row
		}
	}
	return 0
}

func (t *Text) fold() {
	if t.foldFor == t.width {
		return
	}
	t.foldFor, t.folded = t.width, t.folded[:0]
	width := max(1, t.width)
	for i, l := range t.lines {
		w := Width(l)
		for from := 0; from == 0 || from < w; from += width {
			t.folded = append(t.folded, fold{i, from, from + width})
		}
	}
}

// View draws the visible part of the text.
func (t *Text) View(th *theme.Theme, width, height int) []string {
	t.width, t.height = width, height
	t.Move(0)
	end := min(t.top+height, t.rows())
	lines := make([]string, 0, height)
	for row := t.top; row < end; row++ {
		if t.Wrap {
			f := t.folded[row]
			lines = append(lines, ansi.Cut(t.paint(th, t.lines[f.line]), f.from, f.to))
			continue
		}
		painted := t.paint(th, t.lines[row])
		if t.left > 0 {
			painted = ansi.Cut(painted, t.left, t.left+width)
		}
		lines = append(lines, Cut(painted, width))
	}
	return lines
}

// Percent returns the scroll position in percent.
func (t *Text) Percent() int {
	rows := t.rows()
	if rows <= t.height {
		return 100
	}
	return 100 * t.top / (rows - t.height)
}

func (t *Text) paint(th *theme.Theme, line string) string {
	if t.search != nil {
		if marked := Mark(th, t.search, line); marked != line {
			return marked
		}
	}
	if t.Colour != nil {
		return t.Colour(th, line)
	}
	return line
}

// maxMatches is the maximum number of highlighted matches per line.
const maxMatches = 50

// Mark highlights the matches of a pattern in a line.
func Mark(th *theme.Theme, pattern *regexp.Regexp, line string) string {
	var out strings.Builder
	last := 0
	for _, spot := range pattern.FindAllStringIndex(line, maxMatches) {
		out.WriteString(line[last:spot[0]])
		out.WriteString(th.Paint(theme.Match, line[spot[0]:spot[1]]))
		last = spot[1]
	}
	return out.String() + line[last:]
}
