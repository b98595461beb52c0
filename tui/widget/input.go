package widget

import (
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/theme"
)

// Input is one line of text under edit.
type Input struct {
	Prompt string
	// Ghost is what Tab would complete, shown after the text.
	Ghost string

	text   []rune
	cursor int
}

// maxInput bounds what can be typed, in runes.
const maxInput = 1000

// Text is what was typed.
func (i *Input) Text() string { return string(i.text) }

// SetText replaces the text; the cursor goes to its end.
func (i *Input) SetText(text string) {
	i.text = []rune(text)
	i.cursor = len(i.text)
}

// Type takes a key press: an editing key by its name, or text. It says whether
// the key was of use.
func (i *Input) Type(key, text string) bool {
	switch key {
	case "left", "ctrl+b":
		i.cursor = max(0, i.cursor-1)
	case "right", "ctrl+f":
		i.cursor = min(len(i.text), i.cursor+1)
	case "home", "ctrl+a":
		i.cursor = 0
	case "end", "ctrl+e":
		i.cursor = len(i.text)
	case "backspace", "ctrl+h":
		if i.cursor > 0 {
			i.text = slices.Delete(i.text, i.cursor-1, i.cursor)
			i.cursor--
		}
	case "delete":
		if i.cursor < len(i.text) {
			i.text = slices.Delete(i.text, i.cursor, i.cursor+1)
		}
	case "ctrl+u":
		i.text, i.cursor = slices.Clone(i.text[i.cursor:]), 0
	case "ctrl+k":
		i.text = i.text[:i.cursor]
	case "ctrl+w":
		start := i.cursor
		for start > 0 && i.text[start-1] == ' ' {
			start--
		}
		for start > 0 && i.text[start-1] != ' ' {
			start--
		}
		i.text = slices.Delete(i.text, start, i.cursor)
		i.cursor = start
	default:
		text = strings.Map(printable, text)
		if text == "" || len(i.text) >= maxInput {
			return false
		}
		i.text = slices.Insert(i.text, i.cursor, []rune(text)...)
		i.cursor += len([]rune(text))
	}
	return true
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// View draws the line with its cursor.
func (i *Input) View(th *theme.Theme, width int) string {
	room := max(1, width-Width(i.Prompt)-1)
	start := max(0, i.cursor-room+1)
	var out strings.Builder
	out.WriteString(th.Paint(theme.Key, i.Prompt))
	for n := start; n < len(i.text) && n-start < room; n++ {
		if n == i.cursor {
			out.WriteString("\x1b[7m" + string(i.text[n]) + th.Off())
		} else {
			out.WriteRune(i.text[n])
		}
	}
	if i.cursor == len(i.text) {
		ghost := []rune(i.Ghost)
		if len(ghost) == 0 {
			ghost = []rune(" ")
		}
		out.WriteString("\x1b[7m" + string(ghost[0]) + th.Off())
		out.WriteString(th.Paint(theme.Dim, string(ghost[1:])))
	}
	return Fit(out.String(), width)
}
