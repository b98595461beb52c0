// Package logs is the screen that follows the logs of containers, or the output
// of a running command.
package logs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/theme"
)

// maxLines is the number of lines that are kept.
const maxLines = 20_000

// Screen follows logs or the output of a command.
type Screen struct {
	of     string // short name of the source, empty for a command
	need   feed.Need
	title  string
	lines  []feed.Line
	fresh  object.Freshness
	filter filter.Filter

	follow, wrap, times, fields bool

	sources   map[string]theme.Tone // by source, assigned in order of appearance
	top, left int                   // scroll position when not following
	height    int
	shown     []int // indexes of the lines that match the filter
	dropped   int
	done      bool
	failure   string
}

// New returns the screen of the logs of one or several pods.
func New(to screen.Logs) *Screen {
	of := to.Of[strings.LastIndex(to.Of, "/")+1:]
	return &Screen{of: of, need: to.Need, title: "Logs of " + to.Of, follow: true, fields: true, height: 1}
}

// NewStored returns the screen of the result of a search of the stored logs.
func NewStored(to screen.StoredLogs) *Screen {
	of := "stored " + to.Of
	return &Screen{of: of, need: to.Need, title: "Stored logs of " + to.Of + ", last " + format.Span(to.Need.Since), follow: true, fields: true, times: true, height: 1}
}

// NewOutput returns the screen of a running command.
func NewOutput(to screen.Output) *Screen {
	return &Screen{need: feed.Output{ID: to.Job}, title: to.Title, follow: true, wrap: true, height: 1}
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string {
	if s.of != "" {
		return "logs " + s.of
	}
	return s.title
}

// Title implements screen.Screen.
func (s *Screen) Title() string {
	text := s.title
	if logs, ok := s.need.(feed.Logs); ok {
		if logs.Container != "" {
			text += ", container " + logs.Container
		}
		if logs.Previous {
			text += ", previous"
		}
	}
	text += "  " + format.Count(len(s.shown), "line", "lines")
	for _, on := range []struct {
		yes  bool
		name string
	}{{s.follow && !s.done, "following"}, {s.wrap, "wrapped"}, {s.times, "timestamps"}, {s.done && s.failure == "", "finished"}, {s.failure != "", "failed"}} {
		if on.yes {
			text += "  " + on.name
		}
	}
	if s.dropped > 0 {
		text += fmt.Sprintf("  %d lines dropped", s.dropped)
	}
	return text
}

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope { return []keys.Scope{keys.Logs, keys.Text} }

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need { return []feed.Need{s.need} }

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness { return s.fresh }

// Take implements screen.Screen.
func (s *Screen) Take(_ *screen.World, delivery any) {
	d, ok := delivery.(feed.Lines)
	if !ok {
		return
	}
	s.fresh, s.dropped = d.Freshness, s.dropped+d.Dropped
	s.done, s.failure = d.Done, d.Failure
	known := len(s.lines)
	s.lines = append(s.lines, d.Lines...)
	s.siftFrom(ordered(s.lines, known))
	if d.Failure != "" && !s.printed(d.Failure) {
		s.lines = append(s.lines, feed.Line{Text: d.Failure})
		s.shown = append(s.shown, len(s.lines)-1)
	}
	if extra := len(s.lines) - maxLines; extra > 0 {
		s.lines = append([]feed.Line(nil), s.lines[extra+maxLines/10:]...)
		s.sift()
	}
}

// printed reports whether one of the last lines is the failure: a skiff command
// prints "skiff: cause; hint" itself.
func (s *Screen) printed(failure string) bool {
	for _, line := range s.lines[max(0, len(s.lines)-5):] {
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

func (s *Screen) match(line feed.Line) bool {
	return s.filter.Match([]string{line.Text, line.Source}, nil)
}

func (s *Screen) sift() { s.siftFrom(0) }

// siftFrom applies the filter to the lines from index first on.
func (s *Screen) siftFrom(first int) {
	at, _ := slices.BinarySearch(s.shown, first)
	s.shown = s.shown[:at]
	for i := first; i < len(s.lines); i++ {
		if s.match(s.lines[i]) {
			s.shown = append(s.shown, i)
		}
	}
}

// ordered sorts new lines, those from index known on, by time into the others:
// several logs are read at once, each starting with its own tail. It returns the
// first index that has changed. Lines without a time stay in place.
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

// SetFilter implements screen.Filtered. Lines that do not match are hidden.
func (s *Screen) SetFilter(_ *screen.World, f filter.Filter) {
	s.filter = f
	s.sift()
}

// Filter implements screen.Filtered.
func (s *Screen) Filter() filter.Filter { return s.filter }

// Wheel implements screen.Pointed.
func (s *Screen) Wheel(n int) { s.move(3 * n) }

// Click implements screen.Pointed.
func (s *Screen) Click(int, int) (bool, []screen.Request) { return false, nil }

func (s *Screen) move(n int) {
	last := max(0, len(s.shown)-s.height)
	if s.follow {
		s.top = last
	}
	s.top = max(0, min(s.top+n, last))
	s.follow = n >= 0 && s.top == last
}

// Act implements screen.Screen.
func (s *Screen) Act(w *screen.World, a keys.Action) []screen.Request {
	switch a {
	case keys.Up, keys.Prev: // with a filter, all lines are matches
		s.move(-1)
	case keys.Down, keys.Next:
		s.move(1)
	case keys.PageUp:
		s.move(-max(1, s.height-1))
	case keys.PageDown:
		s.move(max(1, s.height-1))
	case keys.Top:
		s.move(-1 << 30)
	case keys.Bottom:
		s.move(1 << 30)
	case keys.Left:
		s.left = max(0, s.left-20)
	case keys.Right:
		s.left += 20
	case keys.Follow:
		s.move(0)
		s.follow = !s.follow
	case keys.Wrap:
		s.wrap, s.left = !s.wrap, 0
	case keys.Timestamps:
		s.times = !s.times
	case keys.Fields:
		s.fields = !s.fields
	case keys.Clear:
		s.lines, s.shown, s.top = nil, nil, 0
	case keys.Previous:
		s.previous()
	case keys.SearchLogs:
		return s.search()
	case keys.CopyText:
		return []screen.Request{screen.CopyText{What: "log", Text: s.plain()}}
	}
	return nil
}

func (s *Screen) previous() {
	if logs, ok := s.need.(feed.Logs); ok {
		logs.Previous = !logs.Previous
		s.need, s.lines, s.shown, s.top, s.done = logs, nil, nil, 0, false
	}
}

// search opens the form for a search of the stored logs of the same pods.
func (s *Screen) search() []screen.Request {
	switch need := s.need.(type) {
	case feed.StoredLogs:
		return kind.SearchLogs(need)
	case feed.Logs:
		start := feed.StoredLogs{Cluster: need.Cluster, Container: need.Container}
		if need.Namespace != "" {
			start.Namespaces = []string{need.Namespace}
		}
		if len(need.Pods) > 0 {
			start.Namespaces = []string{need.Pods[0].Namespace}
		}
		if len(need.Pods) == 1 {
			start.Pod = need.Pods[0].Name
		}
		return kind.SearchLogs(start)
	}
	return nil
}

func (s *Screen) plain() string {
	var out strings.Builder
	for _, i := range s.shown {
		out.WriteString(s.lines[i].Text + "\n")
	}
	return out.String()
}

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	s.height = height
	if len(s.shown) == 0 {
		none := "no log lines yet"
		if s.done {
			none = "no log lines"
		}
		lines := []string{"", format.Note(w.Theme, grid.Note(s.fresh, len(s.lines), none))}
		if _, ok := s.need.(feed.Logs); ok && s.fresh.State == object.Refused {
			lines = append(lines, format.Note(w.Theme, "L searches the stored logs, also of pods that are gone"))
		}
		return lines
	}
	if s.follow {
		return s.tail(w, width, height)
	}
	s.top = max(0, min(s.top, len(s.shown)-1))
	var lines []string
	for i := s.top; i < len(s.shown) && len(lines) < height; i++ {
		lines = append(lines, s.draw(w.Theme, s.lines[s.shown[i]], width)...)
	}
	return lines[:min(len(lines), height)]
}

// tail draws the last lines.
func (s *Screen) tail(w *screen.World, width, height int) []string {
	var blocks [][]string
	rows := 0
	for i := len(s.shown) - 1; i >= 0 && rows < height; i-- {
		block := s.draw(w.Theme, s.lines[s.shown[i]], width)
		blocks = append(blocks, block)
		rows += len(block)
	}
	var lines []string
	for i := len(blocks) - 1; i >= 0; i-- {
		lines = append(lines, blocks[i]...)
	}
	return lines[max(0, len(lines)-height):]
}
