package screen

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/theme"
)

// yamlLine takes a line apart into indentation, key and value.
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

// described takes a line of a description apart: "  Key:   value".
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
	if t := toneOf(m[5]); t != theme.Plain {
		tone = t
	} else if m[5] == "<none>" || m[5] == "<unset>" {
		tone = theme.Dim
	}
	return m[1] + th.Paint(theme.Accent, m[2]) + th.Paint(theme.Dim, m[3]) + m[4] + th.Paint(tone, m[5])
}

// levels are how programs call the weight of what they log.
var levels = map[string]theme.Tone{
	"error": theme.Bad, "err": theme.Bad, "fatal": theme.Bad, "panic": theme.Bad, "critical": theme.Bad,
	"warn": theme.Warn, "warning": theme.Warn, "info": theme.Good, "debug": theme.Dim, "trace": theme.Dim,
}

// level finds the weight of a line of plain text.
var level = regexp.MustCompile(`(?i)\b(error|err|fatal|panic|critical|warn|warning)\b`)

func colourLog(th *theme.Theme, text string) string {
	if m := level.FindString(text); m != "" {
		return th.Paint(levels[strings.ToLower(m)], text)
	}
	return text
}

// fields shows a line that is a JSON object as "message key=value …", its
// level first; other lines as they are.
func fields(th *theme.Theme, text string) (string, bool) {
	if len(text) == 0 || text[0] != '{' {
		return "", false
	}
	var object map[string]any
	if json.Unmarshal([]byte(text), &object) != nil {
		return "", false
	}
	var out strings.Builder
	take := func(names ...string) (string, bool) {
		for _, name := range names {
			if v, ok := object[name].(string); ok {
				delete(object, name)
				return v, true
			}
		}
		return "", false
	}
	take("time", "ts", "timestamp", "@timestamp")
	if weight, ok := take("level", "lvl", "severity", "log.level"); ok {
		out.WriteString(th.Paint(levels[strings.ToLower(weight)], strings.ToUpper(weight[:min(len(weight), 5)])) + " ")
	}
	if message, ok := take("msg", "message", "error", "err"); ok {
		out.WriteString(th.Paint(theme.Title, message))
	}
	var names []string
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		encoded, err := json.Marshal(object[name])
		if err != nil {
			continue
		}
		value := strings.Trim(string(encoded), `"`)
		out.WriteString("  " + th.Paint(theme.Accent, name) + th.Paint(theme.Dim, "=") + value)
	}
	return out.String(), true
}
