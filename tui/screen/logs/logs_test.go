package logs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/screen"
)

func at(seconds int, text string) feed.Line {
	return feed.Line{At: time.Unix(1_800_000_000+int64(seconds), 0), Text: text}
}

func (s *Screen) texts() string {
	var shown []string
	for _, i := range s.shown {
		shown = append(shown, s.lines[i].Text)
	}
	return strings.Join(shown, " ")
}

func TestLinesOfSeveralLogsAreSortedByTime(t *testing.T) {
	l := New(screen.Logs{Of: "2 pods"})
	for _, lines := range [][]feed.Line{
		{at(1, "a1"), at(4, "a4"), at(9, "a9")},
		{at(2, "b2"), at(3, "b3"), at(9, "b9")}, // another log, from its own tail
		{at(10, "a10")},
		{{Text: "timeless"}, at(8, "b8")}, // the first has no time to sort by
		{at(11, "a11")},
	} {
		l.Take(nil, feed.Lines{Lines: lines})
	}
	if got, want := l.texts(), "a1 b2 b3 a4 a9 b9 a10 timeless b8 a11"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	l.SetFilter(nil, filter.Parse("b"))
	l.Take(nil, feed.Lines{Lines: []feed.Line{at(13, "b13"), at(12, "b12"), at(12, "a12")}})
	if got, want := l.texts(), "b2 b3 b9 b8 b12 b13"; got != want {
		t.Errorf("filtered: got %s, want %s", got, want)
	}
}

func TestALogKeepsALimitedNumberOfLines(t *testing.T) {
	l := New(screen.Logs{Of: "pod"})
	for i := range maxLines + 10 {
		l.Take(nil, feed.Lines{Lines: []feed.Line{at(i, fmt.Sprint(i))}})
	}
	if len(l.lines) > maxLines || len(l.shown) != len(l.lines) || l.lines[len(l.lines)-1].Text != fmt.Sprint(maxLines+9) {
		t.Errorf("%d lines, %d shown, the last %q", len(l.lines), len(l.shown), l.lines[len(l.lines)-1].Text)
	}
}

func TestLinesWrapBetweenWords(t *testing.T) {
	red := func(text string) string { return "\x1b[31m" + text + "\x1b[m" }
	for text, want := range map[string]string{
		"use at most 40 letters": "use at|most 40|letters",
		"a":                      "a", "": "",
		"abcdefghijklmnop qrs": "abcdefgh|ijklmnop|qrs",
		"one   two   three":    "one|two|three",
	} {
		var got []string
		for _, line := range wrap(red(text), 8) {
			got = append(got, strings.TrimRight(ansi.Strip(line), " "))
			if ansi.StringWidth(line) > 8 {
				t.Errorf("%q is too wide", line)
			}
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q: %q, want %q", text, strings.Join(got, "|"), want)
		}
	}
}
