package screen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// tail is how many lines of each container a log begins with.
const tail = 500

// maxLines bounds the lines of a log that are kept; the oldest go.
const maxLines = 20_000

// Logs shows what pods write, or a running command of ours, as it comes.
type Logs struct {
	of     string // whose they are, empty for a command
	need   feed.Need
	title  string
	lines  []feed.Line
	fresh  object.Freshness
	filter filter.Filter

	follow, wrap, times, fields bool

	sources   map[string]theme.Tone // the colour of each, in the order in which they came
	top, left int                   // first line shown when not following, of shown
	height    int
	shown     []int // lines that pass the filter
	dropped   int
	done      bool
	failure   string
}

// NewLogs returns the screen of a pod's logs, or of those of several.
func NewLogs(ref object.Ref, need feed.Logs) *Logs {
	logs := newLogs(ref.String(), need)
	logs.of = ref.Name
	return logs
}

func newLogs(of string, need feed.Logs) *Logs {
	return &Logs{of: of, need: need, title: "Logs of " + of, follow: true, fields: true, height: 1}
}

// NewOutput returns the screen of a running command.
func NewOutput(id int, title string) *Logs {
	return &Logs{need: feed.Output{ID: id}, title: title, follow: true, wrap: true, height: 1}
}

// Crumb is Screen's.
func (l *Logs) Crumb() string {
	if l.of != "" {
		return "logs " + l.of
	}
	return l.title
}

// Title is Screen's.
func (l *Logs) Title() string {
	text := l.title
	if logs, ok := l.need.(feed.Logs); ok {
		if logs.Container != "" {
			text += ", container " + logs.Container
		}
		if logs.Previous {
			text += ", previous"
		}
	}
	text += "  " + count(len(l.shown), "line", "lines")
	for _, on := range []struct {
		yes  bool
		name string
	}{{l.follow && !l.done, "following"}, {l.wrap, "wrapped"}, {l.times, "timestamps"}, {l.done && l.failure == "", "finished"}, {l.failure != "", "failed"}} {
		if on.yes {
			text += "  " + on.name
		}
	}
	if l.dropped > 0 {
		text += fmt.Sprintf("  %d lines dropped", l.dropped)
	}
	return text
}

// Scopes is Screen's.
func (l *Logs) Scopes() []keys.Scope { return []keys.Scope{keys.Logs, keys.Text} }

// Needs is Screen's.
func (l *Logs) Needs() []feed.Need { return []feed.Need{l.need} }

// Freshness is Dated's.
func (l *Logs) Freshness() object.Freshness { return l.fresh }

// Take is Screen's.
func (l *Logs) Take(_ *World, delivery any) {
	d, ok := delivery.(feed.Lines)
	if !ok {
		return
	}
	l.fresh, l.dropped = d.Freshness, l.dropped+d.Dropped
	l.done, l.failure = d.Done, d.Failure
	known := len(l.lines)
	l.lines = append(l.lines, d.Lines...)
	l.siftFrom(ordered(l.lines, known))
	if d.Failure != "" && !l.said(d.Failure) {
		l.lines = append(l.lines, feed.Line{Text: d.Failure})
		l.shown = append(l.shown, len(l.lines)-1)
	}
	if extra := len(l.lines) - maxLines; extra > 0 {
		l.lines = append([]feed.Line(nil), l.lines[extra+maxLines/10:]...)
		l.sift()
	}
}

// said tells whether one of the last lines is the failure in other words: a
// command has said itself why it failed, "skiff: cause; hint".
func (l *Logs) said(failure string) bool {
	for _, line := range l.lines[max(0, len(l.lines)-5):] {
		cause, own := strings.CutPrefix(line.Text, "skiff: ")
		if own && (strings.HasSuffix(failure, cause) || strings.HasPrefix(cause, afterFirst(failure, ": "))) {
			return true
		}
	}
	return false
}

func afterFirst(text, separator string) string {
	_, rest, found := strings.Cut(text, separator)
	if !found {
		return text
	}
	return rest
}

func (l *Logs) match(line feed.Line) bool {
	return l.filter.Match([]string{line.Text, line.Source}, nil)
}

func (l *Logs) sift() { l.siftFrom(0) }

// siftFrom finds those that match of the lines from first on.
func (l *Logs) siftFrom(first int) {
	at, _ := slices.BinarySearch(l.shown, first)
	l.shown = l.shown[:at]
	for i := first; i < len(l.lines); i++ {
		if l.match(l.lines[i]) {
			l.shown = append(l.shown, i)
		}
	}
}

// ordered puts lines that came after the first known ones among them by their
// times: several logs are read at once, each from its own end. It returns the
// first index at which something is new. Lines without a time stay where they are.
func ordered(lines []feed.Line, known int) (first int) {
	first = known
	for _, line := range lines[known:] {
		for first > 0 && line.At.Before(lines[first-1].At) && !line.At.IsZero() {
			first--
		}
	}
	if !slices.ContainsFunc(lines[first:], func(line feed.Line) bool { return line.At.IsZero() }) {
		slices.SortStableFunc(lines[first:], func(a, b feed.Line) int { return a.At.Compare(b.At) })
	}
	return first
}

// SetFilter is Filtered's: only lines that match are shown.
func (l *Logs) SetFilter(_ *World, f filter.Filter) {
	l.filter = f
	l.sift()
}

// Filter is Filtered's.
func (l *Logs) Filter() filter.Filter { return l.filter }

// Wheel is Pointed's.
func (l *Logs) Wheel(n int) { l.move(3 * n) }

// Click is Pointed's.
func (l *Logs) Click(int, int) (bool, []Request) { return false, nil }

func (l *Logs) move(n int) {
	last := max(0, len(l.shown)-l.height)
	if l.follow {
		l.top = last
	}
	l.top = max(0, min(l.top+n, last))
	l.follow = n >= 0 && l.top == last
}

// Act is Screen's.
func (l *Logs) Act(w *World, a keys.Action) []Request {
	switch a {
	case keys.Up, keys.Prev: // with a filter, the lines are its matches
		l.move(-1)
	case keys.Down, keys.Next:
		l.move(1)
	case keys.PageUp:
		l.move(-max(1, l.height-1))
	case keys.PageDown:
		l.move(max(1, l.height-1))
	case keys.Top:
		l.move(-1 << 30)
	case keys.Bottom:
		l.move(1 << 30)
	case keys.Left:
		l.left = max(0, l.left-20)
	case keys.Right:
		l.left += 20
	case keys.Follow:
		l.move(0)
		l.follow = !l.follow
	case keys.Wrap:
		l.wrap, l.left = !l.wrap, 0
	case keys.Timestamps:
		l.times = !l.times
	case keys.Fields:
		l.fields = !l.fields
	case keys.Clear:
		l.lines, l.shown, l.top = nil, nil, 0
	case keys.Previous:
		l.previous()
	case keys.CopyText:
		return []Request{CopyText{What: "log", Text: l.plain()}}
	}
	return nil
}

func (l *Logs) previous() {
	if logs, ok := l.need.(feed.Logs); ok {
		logs.Previous = !logs.Previous
		l.need, l.lines, l.shown, l.top, l.done = logs, nil, nil, 0, false
	}
}

func (l *Logs) plain() string {
	var out strings.Builder
	for _, i := range l.shown {
		out.WriteString(l.lines[i].Text + "\n")
	}
	return out.String()
}

// View is Screen's.
func (l *Logs) View(w *World, width, height int) []string {
	l.height = height
	if len(l.shown) == 0 {
		text := "no log lines yet"
		switch {
		case l.fresh.Problem != "":
			text = l.fresh.Problem
		case len(l.lines) > 0:
			text = noMatch
		case l.fresh.State == object.Loading:
			text = loading
		case l.done:
			text = "no log lines"
		}
		return []string{"", "  " + w.Theme.Paint(theme.Dim, text)}
	}
	if l.follow {
		return l.fromEnd(w, width, height)
	}
	l.top = max(0, min(l.top, len(l.shown)-1))
	var lines []string
	for i := l.top; i < len(l.shown) && len(lines) < height; i++ {
		lines = append(lines, l.draw(w.Theme, l.lines[l.shown[i]], width)...)
	}
	return lines[:min(len(lines), height)]
}

// fromEnd draws the last lines.
func (l *Logs) fromEnd(w *World, width, height int) []string {
	var blocks [][]string
	rows := 0
	for i := len(l.shown) - 1; i >= 0 && rows < height; i-- {
		block := l.draw(w.Theme, l.lines[l.shown[i]], width)
		blocks = append(blocks, block)
		rows += len(block)
	}
	var lines []string
	for i := len(blocks) - 1; i >= 0; i-- {
		lines = append(lines, blocks[i]...)
	}
	return lines[max(0, len(lines)-height):]
}

// draw is one line of the log, over several lines if it is wrapped.
func (l *Logs) draw(th *theme.Theme, line feed.Line, width int) []string {
	head := " "
	if l.times && !line.At.IsZero() {
		head += th.Paint(theme.Dim, line.At.Format("15:04:05.000")+" ")
	}
	if line.Source != "" {
		head += th.Paint(l.toneOf(line.Source), line.Source) + " "
	}
	body := l.body(th, clean(line.Text))
	room := max(10, width-widget.Width(head))
	if !l.wrap {
		if l.left > 0 {
			body = ansi.Cut(body, l.left, l.left+room)
		}
		return []string{head + widget.Cut(body, room)}
	}
	var lines []string
	all := widget.Width(body)
	for from := 0; from == 0 || from < all; from += room {
		lines = append(lines, head+ansi.Cut(body, from, from+room))
		head = strings.Repeat(" ", widget.Width(head))
	}
	return lines
}

func (l *Logs) body(th *theme.Theme, text string) string {
	if p := l.filter.Pattern(); p != nil {
		if marked := widget.Mark(th, p, text); marked != text {
			return marked
		}
	}
	if l.fields {
		if shown, ok := fields(th, text); ok {
			return shown
		}
	}
	return colourLog(th, text)
}

// clean takes out what would upset the terminal.
func clean(text string) string {
	text = ansi.Strip(text)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0:
			return -1
		}
		return r
	}, text)
}

// sourceTones tell sources apart, as far as they go.
var sourceTones = []theme.Tone{theme.Accent, theme.Good, theme.Number, theme.Busy, theme.String, theme.Warn}

// toneOf gives each source a colour of its own.
func (l *Logs) toneOf(source string) theme.Tone {
	if l.sources == nil {
		l.sources = map[string]theme.Tone{}
	}
	tone, known := l.sources[source]
	if !known {
		tone = sourceTones[len(l.sources)%len(sourceTones)]
		l.sources[source] = tone
	}
	return tone
}
