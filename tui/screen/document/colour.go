package document

import (
	"regexp"
	"strings"

	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/theme"
)

// yamlLine splits a line into indentation, key, colon and value.
var yamlLine = regexp.MustCompile(`^(\s*(?:- )*)([^\s:#"'{\[][^:#]*?|"[^"]*"|'[^']*')(:)(\s.*|)$`)

var number = regexp.MustCompile(`^-?[0-9][0-9.]*[A-Za-z]{0,2}$`)

func colourYAML(th *theme.Theme, line string) string {
	if strings.HasPrefix(strings.TrimSpace(line), "#") {
		return th.Paint(theme.Dim, line)
	}
	if m := yamlLine.FindStringSubmatch(line); m != nil {
		return m[1] + th.Paint(theme.Accent, m[2]) + th.Paint(theme.Dim, m[3]) + colourValue(th, m[4])
	}
	trimmed := strings.TrimLeft(line, " ")
	indent := line[:len(line)-len(trimmed)]
	if value, ok := strings.CutPrefix(trimmed, "- "); ok {
		return indent + th.Paint(theme.Dim, "- ") + colourValue(th, value)
	}
	return indent + colourValue(th, trimmed)
}

func colourValue(th *theme.Theme, value string) string {
	text := strings.TrimSpace(value)
	switch {
	case text == "":
		return value
	case text == "true", text == "false", text == "null", number.MatchString(text):
		return th.Paint(theme.Number, value)
	case text == "|", text == "|-", text == ">", text == "{}", text == "[]":
		return th.Paint(theme.Dim, value)
	}
	return th.Paint(theme.String, value)
}

// described splits a line of a description: "  Key:   value".
var described = regexp.MustCompile(`^(\s*)([A-Za-z][A-Za-z0-9 ()/._-]*)(:)(\s*)(.*)$`)

func colourDescription(th *theme.Theme, line string) string {
	trimmed := strings.TrimSpace(line)
	if strings.HasPrefix(trimmed, "----") {
		return th.Paint(theme.Frame, line)
	}
	if strings.HasPrefix(trimmed, "Warning ") {
		return th.Paint(theme.Warn, line)
	}
	m := described.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	tone := theme.Plain
	if t := format.StateTone(m[5]); t != theme.Plain {
		tone = t
	} else if m[5] == "<none>" || m[5] == "<unset>" {
		tone = theme.Dim
	}
	return m[1] + th.Paint(theme.Accent, m[2]) + th.Paint(theme.Dim, m[3]) + m[4] + th.Paint(tone, m[5])
}
