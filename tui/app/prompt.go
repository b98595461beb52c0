package app

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/widget"
)

// prompt is the input line at the bottom.
type prompt struct {
	kind  rune // ':' or '/'
	input widget.Input
	all   []string // completions of the typed text
	at    int      // in all, -1 before the first Tab
	back  int      // position in the history, 0 is the typed text
	typed string   // the text before the history was opened
}

func newPrompt(kind rune, text string) *prompt {
	p := &prompt{kind: kind, at: -1}
	p.input.Prompt = string(kind) + " "
	p.input.SetText(text)
	return p
}

// complete selects the next or previous completion.
func (p *prompt) complete(step int) {
	if len(p.all) == 0 {
		return
	}
	p.at = (p.at + step + len(p.all)) % len(p.all)
	p.input.SetText(p.all[p.at])
	p.input.Ghost = ""
}

// suggest sets the completions and previews the first one.
func (p *prompt) suggest(all []string) {
	p.all, p.at, p.input.Ghost = all, -1, ""
	if text := p.input.Text(); text != "" && len(all) > 0 {
		p.input.Ghost = strings.TrimPrefix(all[0], text)
		if p.input.Ghost == all[0] {
			p.input.Ghost = ""
		}
	}
}

// suggest updates the completions of the command line.
func (m *Model) suggest() {
	if m.prompt == nil || m.prompt.kind != ':' {
		return
	}
	m.prompt.suggest(m.completions(m.prompt.input.Text()))
}

// maxCompletions bounds the number of completions.
const maxCompletions = 50

func (m *Model) completions(text string) []string {
	head, last, several := cutLast(text)
	var candidates []string
	if !several {
		for _, c := range commands() {
			candidates = append(candidates, c.names[0])
		}
		for alias := range m.config.Settings.Aliases {
			candidates = append(candidates, alias)
		}
		candidates = append(candidates, resourceNames(m)...)
	} else {
		candidates = m.argumentsOf(strings.Fields(head))
	}
	var found []string
	for _, c := range candidates {
		if strings.HasPrefix(c, last) && c != last && !slices.Contains(found, head+c) {
			found = append(found, head+c)
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return len(a) - len(b) })
	return found[:min(len(found), maxCompletions)]
}

func (m *Model) argumentsOf(words []string) []string {
	if len(words) != 1 {
		return nil
	}
	for _, c := range commands() {
		if slices.Contains(c.names, words[0]) {
			if c.arguments == nil {
				return nil
			}
			return c.arguments(m)
		}
	}
	if r, ok := m.world.Find(words[0]); ok && r.Namespaced {
		return namespaceNames(m)
	}
	return nil
}

// cutLast splits off the last word, which begins after a space or a comma. It
// reports whether text has several words.
func cutLast(text string) (head, last string, several bool) {
	i := strings.LastIndexAny(text, " ,")
	return text[:i+1], text[i+1:], strings.Contains(text, " ")
}

// promptKey handles a key press in the prompt.
func (m *Model) promptKey(key, text string) tea.Cmd {
	p := m.prompt
	switch key {
	case "esc":
		m.prompt = nil
		if p.kind == '/' {
			m.setFilter("")
		}
		return nil
	case "enter":
		m.prompt = nil
		if p.kind == ':' {
			return m.runCommand(p.input.Text())
		}
		m.setFilter(p.input.Text())
		return nil
	case "tab", "shift+tab":
		p.complete(map[string]int{"tab": 1, "shift+tab": -1}[key])
		return nil
	case "up", "down":
		m.recall(map[string]int{"up": 1, "down": -1}[key])
		return nil
	case "backspace":
		if p.input.Text() == "" {
			m.prompt = nil
			return nil
		}
	}
	p.input.Type(key, text)
	if p.kind == '/' {
		m.setFilter(p.input.Text())
	}
	m.suggest()
	return nil
}

// recall moves through the history of commands.
func (m *Model) recall(step int) {
	p := m.prompt
	if p.kind != ':' {
		return
	}
	if p.back == 0 {
		p.typed = p.input.Text()
	}
	p.back = max(0, min(p.back+step, len(m.history)))
	if p.back == 0 {
		p.input.SetText(p.typed)
	} else {
		p.input.SetText(m.history[len(m.history)-p.back])
	}
	p.suggest(nil)
}

func (m *Model) setFilter(text string) {
	if f, ok := m.top().(screen.Filtered); ok {
		f.SetFilter(&m.world, filter.Parse(text))
	}
}
