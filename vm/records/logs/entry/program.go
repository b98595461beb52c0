package entry

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// ParseProgram returns the parser of the logs of Skiff's programs: of klog, slog and
// logrus, and lines that begin with a time. klog leaves out the year.
func ParseProgram(year int) ParseFunc {
	return func(line []byte) Line { return Line{Time: programTime(line, year), Text: line} }
}

// programTime returns the time of a line, 0 if it has none.
func programTime(line []byte, year int) int64 {
	if at, ok := klogTime(line, year); ok {
		return at.UnixNano()
	}
	word, _, _ := bytes.Cut(line, []byte(" "))
	word = bytes.Trim(bytes.TrimPrefix(word, []byte("time=")), `"`)
	if len(word) > 64 {
		return 0
	}
	at, err := time.Parse(time.RFC3339Nano, string(word))
	if err != nil || !representable(at) {
		return 0
	}
	return at.UnixNano()
}

// klogHead is how long "I1129 10:00:00.123456 " is.
const klogHead = len("I1129 10:00:00.123456 ")

func klogTime(line []byte, year int) (time.Time, bool) {
	if len(line) < klogHead || bytes.IndexByte([]byte("IWEF"), line[0]) < 0 {
		return time.Time{}, false
	}
	at, err := time.Parse("0102 15:04:05.000000", string(line[1:klogHead-1]))
	if err != nil {
		return time.Time{}, false
	}
	return at.AddDate(year-at.Year(), 0, 0), true
}

// ProgramFields returns the level of a line of a program, if it has one.
func ProgramFields(text string) []Field {
	if _, ok := klogTime([]byte(text[:min(len(text), klogHead)]), 2000); ok {
		level := map[byte]string{'I': "info", 'W': "warn", 'E': "error", 'F': "fatal"}[text[0]]
		return []Field{{"level", level}}
	}
	_, rest, ok := strings.Cut(text[:min(len(text), 256)], "level=")
	if !ok {
		return nil
	}
	level, _, _ := strings.Cut(rest, " ")
	level = strings.ToLower(strings.Trim(level, `"`))
	if level == "" || len(level) > 16 || strings.Trim(level, "abcdefghijklmnopqrstuvwxyz") != "" {
		return nil
	}
	return []Field{{"level", level}}
}

// levels are the names of the kernel's priorities (syslog(2)).
var levels = [...]string{"emergency", "alert", "critical", "error", "warn", "notice", "info", "debug"}

// ParseKernel parses a line of a node's kernel log: "TIME PRIORITY TEXT".
func ParseKernel(line []byte) Line { return Line{Time: programTime(line, 0), Text: line} }

// KernelLevel returns the level and the text of a line of the kernel log.
func KernelLevel(text string) (level, rest string) {
	_, rest, ok := strings.Cut(text, " ")
	priority, rest, split := strings.Cut(rest, " ")
	n, err := strconv.Atoi(priority)
	if !ok || !split || err != nil || n < 0 || n >= len(levels) {
		return "info", text
	}
	return levels[n], rest
}

// ParseAudit parses a record of the API server's audit log.
func ParseAudit(line []byte) Line {
	const key = `"stageTimestamp":"`
	at := bytes.Index(line, []byte(key))
	if at < 0 {
		return Line{Text: line}
	}
	stamp, _, _ := bytes.Cut(line[at+len(key):], []byte(`"`))
	if len(stamp) > 64 {
		return Line{Text: line}
	}
	t, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil || !representable(t) {
		return Line{Text: line}
	}
	return Line{Time: t.UnixNano(), Text: line}
}

// AuditSummary returns an audit record as a sentence: "create pods shop/web by
// alice: 201". It returns "" if the fields are not those of a record.
func AuditSummary(fields []Field) string {
	values := map[string]string{}
	for _, f := range fields {
		values[f.Name] = f.Value
	}
	verb, user := values["verb"], values["user.username"]
	if verb == "" || user == "" {
		return ""
	}
	object := values["objectRef.resource"]
	if sub := values["objectRef.subresource"]; sub != "" {
		object += "/" + sub
	}
	switch namespace, name := values["objectRef.namespace"], values["objectRef.name"]; {
	case object == "":
		object = values["requestURI"]
	case namespace != "" && name != "":
		object += " " + namespace + "/" + name
	case name != "":
		object += " " + name
	case namespace != "":
		object += " in " + namespace
	}
	return verb + " " + object + " by " + user + ": " + values["responseStatus.code"]
}
