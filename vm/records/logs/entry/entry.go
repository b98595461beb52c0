// Package entry turns the bytes of log files into entries: it parses what container
// runtimes and programs write, joins lines that belong together, and takes fields from
// JSON. What it reads comes from guests, so everything is bounded, and nothing it does
// depends on more than the bytes and the state that it was given.
package entry

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of an entry.
const (
	// MaxText is the size in bytes at which the text of an entry is cut.
	MaxText = 256 << 10
	// maxJoined is how many lines one entry may have.
	maxJoined = 1000
)

// Entry is what one message of a log became.
type Entry struct {
	// Time in nanoseconds since 1970.
	Time int64
	// Stream is "stdout" or "stderr"; empty for logs that have one stream.
	Stream string
	Text   string
	// Begin and End are offsets in the file: where the first line of the entry begins,
	// and where its last line ends.
	Begin, End int64
	// Lines is how many lines of the file the entry has.
	Lines int
	// Cut reports that the text was longer.
	Cut bool
}

// Line is one line of a log file.
type Line struct {
	// Time in nanoseconds since 1970; 0 if the line has none.
	Time   int64
	Stream string
	// Partial means that the next line of the stream continues this one.
	Partial bool
	Text    []byte
}

// ParseFunc parses a line without its newline.
type ParseFunc func(line []byte) Line

// ParseCRI parses a line of a container's log: "TIME STREAM TAG TEXT"
// (https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md).
// A line of another format is returned as it is, without a time.
func ParseCRI(line []byte) Line {
	stamp, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(stamp) > 64 {
		return Line{Text: line}
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil || !representable(at) {
		return Line{Text: line}
	}
	stream, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok || string(stream) != "stdout" && string(stream) != "stderr" {
		return Line{Text: line}
	}
	tags, text, _ := bytes.Cut(rest, []byte(" "))
	tag, _, _ := bytes.Cut(tags, []byte(":"))
	name := "stdout"
	if string(stream) == "stderr" {
		name = "stderr"
	}
	return Line{Time: at.UnixNano(), Stream: name, Partial: string(tag) == "P", Text: text}
}

// representable reports whether a time has a number of nanoseconds since 1970.
func representable(t time.Time) bool { return t.Year() > 1970 && t.Year() < 2262 }

// valid returns text without bytes that are not UTF-8.
func valid(text []byte) string {
	if utf8.Valid(text) {
		return string(text)
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
