package app

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

func TestGraphsAreReadOnlyWhileTheyCanBeSeen(t *testing.T) {
	play(t, 160, 50, Config{Clusters: []string{"dev"}}, func(p *player) {
		count := func() int {
			p.host.mu.Lock()
			defer p.host.mu.Unlock()
			return len(p.host.measured)
		}
		if n := count(); n != 0 {
			t.Errorf("%d measurements before a description is open", n)
		}
		p.press("d")
		if n := count(); n != 4 {
			t.Errorf("%d measurements for one description", n)
		}
		time.Sleep(graphInterval + time.Second)
		p.settle()
		if n := count(); n != 8 {
			t.Errorf("%d measurements after %s", n, graphInterval)
		}
		p.press("m") // hides them
		before := count()
		time.Sleep(5 * graphInterval)
		p.settle()
		if n := count(); n != before {
			t.Errorf("%d measurements while they are hidden", n-before)
		}
		p.press("]")
		if last := p.host.measured[len(p.host.measured)-1]; !strings.HasSuffix(last, " 6h0m0s") {
			t.Errorf("a longer time: %s", last)
		}
	})
}

func TestGraphsConcernThePodsOfTheObject(t *testing.T) {
	for _, c := range []struct {
		resource object.Resource
		want     string
	}{
		{object.Pods, `pod=~"web\\.1"`}, {object.Deployments, `pod=~"web\\.1-[a-z0-9]+-[a-z0-9]{5}"`}, {object.StatefulSets, `pod=~"web\\.1-[0-9]+"`},
		{object.DaemonSets, `pod=~"web\\.1-[a-z0-9]{5}"`}, {object.Nodes, `node="web.1"`},
	} {
		all, expressions := graphsOf(object.Ref{Resource: c.resource, Namespace: "shop", Name: "web.1"})
		if len(all) != 4 || slices.ContainsFunc(expressions, func(e string) bool { return !strings.Contains(e, c.want) }) {
			t.Errorf("%s: %q", c.resource.Kind, expressions)
		}
	}
}

func TestStoredLogsAreSearchedForAPodThatIsGone(t *testing.T) {
	play(t, 120, 40, Config{Clusters: []string{"dev"}, Namespaces: []string{"shop"}}, func(p *player) {
		p.press(":", "logs gone-1", "enter")
		p.want("the first run", "out of paper")
		// The same search with more conditions.
		p.press("L", "down", "down", "paper !first", "down", "level:error", "down", "end")
		p.press("backspace", "backspace", "2d", "enter")
		p.want("last 2d")
		want := []feed.StoredLogs{
			{Cluster: "dev", Namespaces: []string{"shop"}, Pod: "gone-1*", Since: time.Hour},
			{Cluster: "dev", Namespaces: []string{"shop"}, Pod: "gone-1*", Text: "paper !first", Query: "level:error", Since: 48 * time.Hour},
		}
		if !reflect.DeepEqual(p.host.searched, want) {
			t.Errorf("searched for %+v", p.host.searched)
		}
		p.press("L", "down", "down", "down", "down", "end", "x", "enter")
		p.want("invalid time")
	})
}

func TestARejectedQueryIsShown(t *testing.T) {
	play(t, 120, 40, Config{Clusters: []string{"dev"}}, func(p *player) {
		p.press("L", "down", "down", "down", "(", "down", "enter")
		p.want("the log store rejected the query", "failed")
	})
}
