package objects

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/theme"
)

// The kubelet reports a pod that has just started with no memory.
func TestUsageThatIsNotKnownYetIsADash(t *testing.T) {
	w := &screen.World{Now: time.Unix(1_800_000_000, 0), Theme: theme.Named("none"), Clusters: []string{"dev"}, Namespaces: []string{"shop"}}
	s := New(w, screen.Objects{Resource: object.Pods})
	row := func(name string) *object.Row {
		return &object.Row{Cluster: "dev", Namespace: "shop", Name: name, Cells: []string{name, "1/1", "Running", "5s"}}
	}
	s.Take(w, object.Table{
		Cluster: "dev", Resource: object.Pods, Columns: []object.Column{{Name: "Name"}, {Name: "Ready"}, {Name: "Status"}, {Name: "Age"}},
		Rows: []*object.Row{row("new"), row("old")}, Freshness: object.Freshness{State: object.Live},
	})
	s.Take(w, feed.Stats{Cluster: "dev", Pods: map[string]feed.ResourceUsage{"shop/new": {At: w.Now}, "shop/old": {MilliCPU: 3, MemoryBytes: 1 << 20, At: w.Now}}})
	lines := s.View(w, 100, 5)
	for i, want := range []string{"new 1/1 Running - - 5s", "old 1/1 Running 3m 1.0Mi 5s"} {
		if got := strings.Join(strings.Fields(strings.TrimLeft(ansi.Strip(lines[1+i]), "▌ ")), " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
