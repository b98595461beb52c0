package widget

import (
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/theme"
)

// Input is a line of text that is being edited, with the keys of a shell.
// docs/decisions/0006-libraries.md explains why it is not bubbles/textinput.
type Input struct {
	Prompt string
	// Ghost is the completion that Tab would accept, drawn after the text.
	Ghost string

	text   []rune
	cursor int
}

// maxInput is the maximum length in runes.
const maxInput = 1000

// Text returns the text.
func (i *Input) Text() string { return string(i.text) }

// SetText replaces the text and moves the cursor to its end.
func (i *Input) SetText(text string) {
	i.text = []rune(text)
	i.cursor = len(i.text)
}

// Type handles a key press: the name of an editing key, or text. It reports
// whether the key had a meaning.
func (i *Input) Type(key, text string) bool {
	switch key {
	case "left", "ctrl+b":
		i.cursor = max(0, i.cursor-1)
	case "right", "ctrl+f":
		i.cursor = min(len(i.text), i.cursor+1)
	case "alt+b", "alt+left", "ctrl+left":
		i.cursor = i.wordStart()
	case "alt+f", "alt+right", "ctrl+right":
		i.cursor = i.wordEnd()
	case "home", "ctrl+a":
		i.cursor = 0
	case "end", "ctrl+e":
		i.cursor = len(i.text)
	case "backspace", "ctrl+h":
		i.deleteTo(max(0, i.cursor-1))
	case "delete":
		i.text = slices.Delete(i.text, i.cursor, min(i.cursor+1, len(i.text)))
	case "ctrl+u":
		i.deleteTo(0)
	case "ctrl+k":
		i.text = i.text[:i.cursor]
	case "ctrl+w":
		i.deleteTo(i.wordStart())
	default:
		return i.insert(text)
	}
	return true
}

func (i *Input) insert(text string) bool {
	runes := []rune(strings.Map(printable, text))
	if len(runes) == 0 || len(i.text) >= maxInput {
		return false
	}
	i.text = slices.Insert(i.text, i.cursor, runes...)
	i.cursor += len(runes)
	return true
}

// deleteTo deletes from start to the cursor.
func (i *Input) deleteTo(start int) {
	i.text = slices.Delete(i.text, start, i.cursor)
	i.cursor = start
}

// wordStart returns the start of the word before the cursor.
func (i *Input) wordStart() int {
	start := i.cursor
	for start > 0 && i.text[start-1] == ' ' {
		start--
	}
	for start > 0 && i.text[start-1] != ' ' {
		start--
	}
	return start
}

// wordEnd returns the end of the word after the cursor.
func (i *Input) wordEnd() int {
	end := i.cursor
	for end < len(i.text) && i.text[end] == ' ' {
		end++
	}
	for end < len(i.text) && i.text[end] != ' ' {
		end++
	}
	return end
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// View draws the line with its cursor in width cells. A long text is scrolled so
// that the cursor is visible.
func (i *Input) View(th *theme.Theme, width int) string {
	room := max(1, width-Width(i.Prompt)-1)
	start, used := i.cursor, 0
	for start > 0 && used+Width(string(i.text[start-1])) < room {
		start--
		used += Width(string(i.text[start]))
	}
	before := th.Paint(theme.Key, i.Prompt) + string(i.text[start:i.cursor])
	under, after := " ", ""
	switch ghost := []rune(i.Ghost); {
	case i.cursor < len(i.text):
		under, after = string(i.text[i.cursor]), string(i.text[i.cursor+1:])
	case len(ghost) > 0:
		under, after = string(ghost[0]), th.Paint(theme.Dim, string(ghost[1:]))
	}
	return Fit(before+"\x1b[7m"+under+th.Off()+after, width)
}
