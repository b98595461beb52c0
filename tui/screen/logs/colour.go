package logs

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/theme"
)

// levels maps the names that programs give to log levels.
var levels = map[string]theme.Tone{
	"error": theme.Bad, "err": theme.Bad, "fatal": theme.Bad, "panic": theme.Bad, "critical": theme.Bad,
	"warn": theme.Warn, "warning": theme.Warn, "info": theme.Good, "debug": theme.Dim, "trace": theme.Dim,
}

// level finds the log level in a line of plain text.
var level = regexp.MustCompile(`(?i)\b(error|err|fatal|panic|critical|warn|warning)\b`)

func colourLog(th *theme.Theme, text string) string {
	if m := level.FindString(text); m != "" {
		return th.Paint(levels[strings.ToLower(m)], text)
	}
	return text
}

// fields turns a JSON object into "LEVEL message key=value …". It returns false
// if the line is not a JSON object.
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
	if name, ok := take("level", "lvl", "severity", "log.level"); ok {
		out.WriteString(th.Paint(levels[strings.ToLower(name)], strings.ToUpper(name[:min(len(name), 5)])) + " ")
	}
	if message, ok := take("msg", "message", "error", "err"); ok {
		out.WriteString(th.Paint(theme.Title, message))
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		encoded, err := json.Marshal(object[name])
		if err != nil {
			continue
		}
		value := strings.Trim(string(encoded), `"`)
		out.WriteString("  " + th.Paint(theme.Accent, name) + th.Paint(theme.Dim, "=") + value)
	}
	return out.String(), true
}
