package app

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// overlay stands before the screen until it is answered.
type overlay interface {
	// key answers a key press; done says that the overlay goes.
	key(key, text string) (requests []screen.Request, done bool)
	// view is the overlay's title and lines.
	view(th *theme.Theme, width int) (title string, lines []string)
}

// question asks yes or no, or for a word.
type question struct {
	screen.Ask
	input widget.Input
	wrong bool
}

func (q *question) key(key, text string) ([]screen.Request, bool) {
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
		q.wrong = true
	default:
		q.input.Type(key, text)
		q.wrong = false
	}
	return nil, false
}

func (q *question) view(th *theme.Theme, width int) (string, []string) {
	lines := append([]string(nil), q.Lines...)
	lines = append(lines, "")
	if q.Word == "" {
		return q.Title, append(lines, th.Paint(theme.Key, "y")+" yes    "+th.Paint(theme.Key, "n")+" no")
	}
	lines = append(lines, "Type "+th.Paint(theme.Bad, q.Word)+" and press ⏎ to confirm, or esc to cancel.", "")
	q.input.Prompt = "› "
	lines = append(lines, q.input.View(th, max(20, min(44, width-10))))
	if q.wrong {
		lines = append(lines, th.Paint(theme.Bad, "that does not match"))
	}
	return q.Title, lines
}

// message shows a text until it is sent away, not by a key that was meant for
// something else.
type message struct{ text string }

func (m *message) key(key, _ string) ([]screen.Request, bool) {
	return nil, key == "enter" || key == "esc" || key == "q"
}

func (m *message) view(th *theme.Theme, width int) (string, []string) {
	lines := strings.Split(ansi.Wrap(m.text, max(20, min(100, width-8)), " "), "\n")
	return "Error", append(lines[:min(len(lines), maxMessage)], "", th.Paint(theme.Key, "⏎")+" close")
}

// maxMessage is how many lines of a message are shown.
const maxMessage = 12

// sheet asks for values.
type sheet struct{ screen.Fill }

func (s *sheet) key(key, text string) ([]screen.Request, bool) {
	if key == "esc" {
		return nil, true
	}
	if s.Form.Type(key, text) {
		return s.Then(s.Form.Values()), true
	}
	return nil, false
}

func (s *sheet) view(th *theme.Theme, width int) (string, []string) {
	lines := s.Form.View(th, max(30, min(64, width-10)))
	return s.Form.Title, append(lines, "", th.Paint(theme.Key, "⏎")+" next field, confirm on the last    "+th.Paint(theme.Key, "esc")+" cancel")
}

// prompt is the line of input at the bottom.
type prompt struct {
	kind  rune // ':' or '/'
	input widget.Input
	all   []string // completions of what is typed
	at    int      // in all, -1 before the first Tab
	past  int      // how far back in the history
	typed string   // before the history was looked through
}

func newPrompt(kind rune, text string) *prompt {
	p := &prompt{kind: kind, at: -1}
	p.input.Prompt = string(kind) + " "
	p.input.SetText(text)
	return p
}

// complete goes to the next completion.
func (p *prompt) complete(step int) {
	if len(p.all) == 0 {
		return
	}
	p.at = (p.at + step + len(p.all)) % len(p.all)
	p.input.SetText(p.all[p.at])
	p.input.Ghost = ""
}

// suggest shows what Tab would complete.
func (p *prompt) suggest(all []string) {
	p.all, p.at, p.input.Ghost = all, -1, ""
	if text := p.input.Text(); text != "" && len(all) > 0 {
		p.input.Ghost = strings.TrimPrefix(all[0], text)
		if p.input.Ghost == all[0] {
			p.input.Ghost = ""
		}
	}
}
