package widget

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/tui/theme"
)

// Field of a Form.
type Field struct {
	Name, Label, Hint string
	Value             string
	// Choices are the allowed values; empty allows any text.
	Choices []string
}

// Form asks for several values at once.
type Form struct {
	Title  string
	Fields []Field
	inputs []*Input
	at     int
}

// NewForm returns a form that starts with the values of the fields.
func NewForm(title string, fields []Field) *Form {
	f := &Form{Title: title, Fields: fields}
	for _, field := range fields {
		input := &Input{}
		input.SetText(field.Value)
		f.inputs = append(f.inputs, input)
	}
	return f
}

// Values returns the value of each field by name.
func (f *Form) Values() map[string]string {
	values := map[string]string{}
	for i, field := range f.Fields {
		values[field.Name] = strings.TrimSpace(f.inputs[i].Text())
	}
	return values
}

// AtLast reports whether the last field is the current one, in which Enter submits
// the form.
func (f *Form) AtLast() bool { return f.at == len(f.Fields)-1 }

// Type handles a key press. It returns true when the user submits the form.
func (f *Form) Type(key, text string) (done bool) {
	switch key {
	case "enter":
		if f.AtLast() {
			return true
		}
		f.at++
	case "tab", "down":
		f.at = (f.at + 1) % len(f.Fields)
	case "shift+tab", "up":
		f.at = (f.at + len(f.Fields) - 1) % len(f.Fields)
	default:
		if choices := f.Fields[f.at].Choices; len(choices) > 0 {
			f.choose(choices, key)
			return false
		}
		f.inputs[f.at].Type(key, text)
	}
	return false
}

func (f *Form) choose(choices []string, key string) {
	now := 0
	for i, c := range choices {
		if c == f.inputs[f.at].Text() {
			now = i
		}
	}
	switch key {
	case "left":
		now = (now + len(choices) - 1) % len(choices)
	case "right", "space", " ":
		now = (now + 1) % len(choices)
	}
	f.inputs[f.at].SetText(choices[now])
}

// View draws the form. Its size does not depend on the current field.
func (f *Form) View(th *theme.Theme, width int) []string {
	label := 0
	for _, field := range f.Fields {
		label = max(label, Width(field.Label))
	}
	room := width - label - 2
	var lines []string
	for i, field := range f.Fields {
		value, tone := f.inputs[i].Text(), theme.Dim
		if i == f.at {
			tone = theme.Title
			value = f.current(th, room)
		}
		lines = append(lines, th.Paint(tone, FitRight(field.Label, label)+"  ")+Cut(value, room))
	}
	return append(lines, f.hints(th, width)...)
}

// current draws the value of the current field.
func (f *Form) current(th *theme.Theme, room int) string {
	if len(f.Fields[f.at].Choices) > 0 {
		return th.Paint(theme.Selected, " ◂ "+f.inputs[f.at].Text()+" ▸ ")
	}
	return f.inputs[f.at].View(th, room)
}

// hints draws the hint of the current field below the fields, with room for the
// longest hint.
func (f *Form) hints(th *theme.Theme, width int) []string {
	wrap := func(hint string) []string {
		if hint == "" {
			return nil
		}
		return strings.Split(ansi.Wrap(hint, width, " "), "\n")
	}
	longest := 0
	for _, field := range f.Fields {
		longest = max(longest, len(wrap(field.Hint)))
	}
	if longest == 0 {
		return nil
	}
	lines := make([]string, 1+longest)
	for i, text := range wrap(f.Fields[f.at].Hint) {
		lines[1+i] = th.Paint(theme.Dim, text)
	}
	lines[0] = spaces(width)
	return lines
}

// Dialog draws lines in a frame with a title, centred over the lines of under.
func Dialog(th *theme.Theme, under []string, title string, lines []string, width int) []string {
	inner := 0
	for _, l := range lines {
		inner = max(inner, Width(l))
	}
	inner = max(min(inner, width-6), min(Width(title)+2, width-6), 20)
	var box []string
	edge := func(text string) string { return th.Paint(theme.Frame, text) }
	head := Cut(" "+title+" ", inner)
	box = append(box, edge("╭─")+th.Paint(theme.Title, head)+edge(strings.Repeat("─", inner+1-Width(head))+"╮"))
	box = append(box, edge("│")+spaces(inner+2)+edge("│"))
	for _, l := range lines {
		box = append(box, edge("│")+" "+Fit(l, inner)+" "+edge("│"))
	}
	box = append(box, edge("│")+spaces(inner+2)+edge("│"), edge("╰"+strings.Repeat("─", inner+2)+"╯"))
	return Overlay(under, box, max(0, (width-inner-4)/2), max(0, (len(under)-len(box))/2))
}
