package app

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// overlay is a dialog in front of the screen.
type overlay interface {
	// key handles a key press; done reports whether the overlay is closed.
	key(key, text string) (requests []screen.Request, done bool)
	// view returns the title and lines of the dialog.
	view(th *theme.Theme, width int) (title string, lines []string)
}

// questionDialog asks for confirmation by yes or no, or by typing a word.
type questionDialog struct {
	screen.Ask
	input    widget.Input
	mismatch bool
}

func (q *questionDialog) key(key, text string) ([]screen.Request, bool) {
	switch {
	case key == "esc", q.Word == "" && (key == "n" || key == "q"):
		return nil, true
	case q.Word == "" && (key == "y" || key == "Y"):
		return q.Then, true
	case q.Word == "":
		return nil, false
	case key == "enter":
		if q.input.Text() == q.Word {
			return q.Then, true
		}
		q.mismatch = true
	default:
		q.input.Type(key, text)
		q.mismatch = false
	}
	return nil, false
}

func (q *questionDialog) view(th *theme.Theme, width int) (string, []string) {
	lines := append([]string(nil), q.Lines...)
	lines = append(lines, "")
	if q.Word == "" {
		return q.Title, append(lines, th.Paint(theme.Key, "y")+" yes    "+th.Paint(theme.Key, "n")+" no")
	}
	lines = append(lines, "Type "+th.Paint(theme.Bad, q.Word)+" and press ⏎ to confirm, or esc to cancel.", "")
	q.input.Prompt = "› "
	lines = append(lines, q.input.View(th, max(20, min(44, width-10))))
	if q.mismatch {
		lines = append(lines, th.Paint(theme.Bad, "that does not match"))
	}
	return q.Title, lines
}

// errorDialog shows a failure until it is closed. Other keys do not close it,
// because they may have been meant for the screen.
type errorDialog struct{ text string }

func (m *errorDialog) key(key, _ string) ([]screen.Request, bool) {
	return nil, key == "enter" || key == "esc" || key == "q"
}

func (m *errorDialog) view(th *theme.Theme, width int) (string, []string) {
	lines := strings.Split(ansi.Wrap(m.text, max(20, min(100, width-8)), " "), "\n")
	return "Error", append(lines[:min(len(lines), maxMessage)], "", th.Paint(theme.Key, "⏎")+" close")
}

// maxMessage bounds the lines of a failure that are shown.
const maxMessage = 12

// formDialog asks for values.
type formDialog struct{ screen.Fill }

func (s *formDialog) key(key, text string) ([]screen.Request, bool) {
	if key == "esc" {
		return nil, true
	}
	if s.Form.Type(key, text) {
		return s.Then(s.Form.Values()), true
	}
	return nil, false
}

func (s *formDialog) view(th *theme.Theme, width int) (string, []string) {
	next := "next field"
	if s.Form.AtLast() {
		next = "confirm"
	}
	lines := s.Form.View(th, max(30, min(64, width-10)))
	return s.Form.Title, append(lines, "", th.Paint(theme.Key, "⏎")+" "+next+"    "+th.Paint(theme.Key, "esc")+" cancel")
}
