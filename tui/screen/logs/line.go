package logs

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// draw draws one line of the log, as several lines if it is wrapped.
func (s *Screen) draw(th *theme.Theme, line feed.Line, width int) []string {
	head := " "
	if s.times && !line.At.IsZero() {
		head += th.Paint(theme.Dim, line.At.Format("15:04:05.000")+" ")
	}
	if line.Source != "" {
		head += th.Paint(s.sourceTone(line.Source), line.Source) + " "
	}
	body := s.body(th, clean(line.Text))
	room := max(10, width-widget.Width(head))
	if !s.wrap {
		if s.left > 0 {
			body = ansi.Cut(body, s.left, s.left+room)
		}
		return []string{head + widget.Cut(body, room)}
	}
	lines := wrap(body, room)
	for i, l := range lines {
		lines[i] = head + l
		head = strings.Repeat(" ", widget.Width(head))
	}
	return lines
}

// wrap breaks a painted line between words, or within words that are wider than
// room.
func wrap(body string, room int) []string {
	rest := ansi.Strip(body)
	if widget.Width(rest) <= room {
		return []string{body}
	}
	var lines []string
	from := 0
	for _, part := range strings.Split(ansi.Wrap(rest, room, ""), "\n") {
		to := from + widget.Width(part)
		lines = append(lines, ansi.Cut(body, from, to))
		rest = strings.TrimPrefix(rest, part)
		spaces := len(rest) - len(strings.TrimLeft(rest, " "))
		rest, from = rest[spaces:], to+spaces
	}
	return lines
}

func (s *Screen) body(th *theme.Theme, text string) string {
	if p := s.filter.Pattern(); p != nil {
		if marked := widget.Mark(th, p, text); marked != text {
			return marked
		}
	}
	if s.fields {
		if shown, ok := fields(th, text); ok {
			return shown
		}
	}
	return colourLog(th, text)
}

// clean removes control characters and escape sequences.
func clean(text string) string {
	text = ansi.Strip(text)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, text)
}

// sourceTones are assigned to sources in turn.
var sourceTones = []theme.Tone{theme.Accent, theme.Good, theme.Number, theme.Busy, theme.String, theme.Warn}

// sourceTone returns the tone of a source.
func (s *Screen) sourceTone(source string) theme.Tone {
	if s.sources == nil {
		s.sources = map[string]theme.Tone{}
	}
	tone, known := s.sources[source]
	if !known {
		tone = sourceTones[len(s.sources)%len(sourceTones)]
		s.sources[source] = tone
	}
	return tone
}
