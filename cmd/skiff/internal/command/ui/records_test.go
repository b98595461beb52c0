package ui

import (
	"testing"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/vm/records/logs/query"
)

func TestASearchBecomesOneCondition(t *testing.T) {
	need := feed.StoredLogs{Namespaces: []string{"shop", "web"}, Pod: "cart-*", Container: "c", Text: `a.b !"x`}
	want := `("namespace":="shop" or "namespace":="web") "pod":="cart-"* "container":="c" (_msg:*"a.b"* or _msg:*"A.b"* or _msg:*"A.B"*) !(_msg:*"\"x"* or _msg:*"\"X"*)`
	if got := logFilter(need); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := logFilter(feed.StoredLogs{}); got != "" {
		t.Errorf("nothing: %s", got)
	}
}

func TestEntriesNameTheirSource(t *testing.T) {
	for source, fields := range map[string]map[string]string{
		"web-1/app":       {"_msg": "x", "source": "container", "pod": "web-1", "container": "app", "attempt": "0"},
		"web-1/app#2":     {"_msg": "x", "source": "container", "pod": "web-1", "container": "app", "attempt": "2"},
		"worker-1/kernel": {"_msg": "x", "source": "kernel", "node": "worker-1"},
		"worker-1/agent":  {"_msg": "x", "source": "program", "node": "worker-1", "program": "agent"},
		"event":           {"_msg": "x", "source": "event"},
	} {
		if got := lineOf(query.Entry{Fields: fields}); got.Source != source || got.Text != "x" {
			t.Errorf("got %+v, want %s", got, source)
		}
	}
	if got := lineOf(query.Entry{Fields: map[string]string{"n": "3", "b": "x"}}); got.Text != "b=x n=3" {
		t.Errorf("what a query computed: %+v", got)
	}
}
