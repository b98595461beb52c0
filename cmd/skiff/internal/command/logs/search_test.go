package logs

import (
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/records/logs/query"
)

func TestFlagsBecomeAQuestion(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	q := search{pod: "web-*", namespace: "shop", selector: "app=web", node: "worker-1", source: "container", since: "2h", query: "error", logRange: logRange{lines: 5}}
	got, err := q.question(now)
	want := query.Question{
		Query: "error", Filter: `"pod":="web-"* "namespace":="shop" "node":="worker-1" "source":="container" "label.app":in("web")`,
		Since: now.Add(-2 * time.Hour), Last: 5,
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v\nwant %+v", got, err, want)
	}
	q = search{source: "nodeagent"}
	if got, err := q.question(now); err != nil || got.Filter != `"program":="nodeagent"` {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestInvalidFlagsAreRefused(t *testing.T) {
	for want, q := range map[string]search{
		`invalid --since "soon"`:  {since: "soon"},
		`invalid --until "-3h"`:   {until: "-3h"},
		`invalid --selector "="`:  {selector: "="},
		"is not before --until":   {since: "1h", until: "2h"},
		"cannot be combined with": {until: "1h", logRange: logRange{follow: true}},
	} {
		if _, err := q.question(time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestTimesAreParsed(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "90m": now.Add(-90 * time.Minute), "2d": now.Add(-48 * time.Hour), "2026-01-02T15:04:05Z": time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC),
	} {
		if got, err := parseTime("since", text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestEntriesAreOneLineEach(t *testing.T) {
	at := time.Date(2026, 11, 29, 12, 0, 0, 5e6, time.Local)
	for want, e := range map[string]query.Entry{
		"2026-11-29T12:00:00.005 shop/web app | hello\n":              {Time: at, Fields: map[string]string{"_msg": "hello", "source": "container", "namespace": "shop", "pod": "web", "container": "app"}},
		"2026-11-29T12:00:00.005 worker-1 nodeagent | x\n":            {Time: at, Fields: map[string]string{"_msg": "x", "source": "program", "node": "worker-1", "program": "nodeagent"}},
		"2026-11-29T12:00:00.005 shop event pod/web Killing | stop\n": {Time: at, Fields: map[string]string{"_msg": "stop", "source": "event", "namespace": "shop", "kind": "Pod", "name": "web", "reason": "Killing"}},
		"n=3 pod=web\n": {Fields: map[string]string{"pod": "web", "n": "3"}},
	} {
		var out strings.Builder
		if err := asText(&out)(e); err != nil || out.String() != want {
			t.Errorf("%q, %v, want %q", out.String(), err, want)
		}
	}
}
