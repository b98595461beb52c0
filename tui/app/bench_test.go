package app

import (
	"fmt"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
)

// manyPods returns a table of n pods.
func manyPods(n int) object.Table {
	t := tables()["pods"]
	t.Cluster, t.Resource, t.Freshness, t.Rows = "dev", object.Pods, live(), nil
	for i := range n {
		t.Rows = append(t.Rows, row("load", fmt.Sprintf("load-%04d", i), time.Hour, "1/1", "Running", "0", "1h", fmt.Sprintf("10.244.1.%d", i%250), "worker-1", "<none>"))
	}
	return t
}

func bigModel(b *testing.B, filter string) (*Model, object.Table) {
	config := dev()
	config.Host, config.Now, config.Settings.Keys = &fakeHost{}, func() time.Time { return noon }, keys.Default()
	m := New(b.Context(), config)
	m.width, m.height = 160, 50
	table := manyPods(5000)
	m.top().Take(&m.world, table)
	m.setFilter(filter)
	m.Frame()
	return m, table
}

// BenchmarkKeyOverFiveThousandPods measures a key press until its frame is drawn.
func BenchmarkKeyOverFiveThousandPods(b *testing.B) {
	m, _ := bigModel(b, "")
	down := tea.KeyPressMsg{Code: tea.KeyDown}
	for b.Loop() {
		m.key(down)
		m.Frame()
	}
}

// BenchmarkDeliveryOfFiveThousandPods measures a delivery, of which there are at
// most ten per second: unmodified, filtered and sorted.
func BenchmarkDeliveryOfFiveThousandPods(b *testing.B) {
	for _, filter := range []string{"", "load-1"} {
		for _, sort := range []string{"", ">"} {
			b.Run("filter "+filter+" sort "+sort, func(b *testing.B) {
				m, table := bigModel(b, filter)
				if sort != "" {
					m.key(tea.KeyPressMsg{Code: '>', Text: ">"})
					m.key(tea.KeyPressMsg{Code: '>', Text: ">"})
				}
				m.key(tea.KeyPressMsg{Code: tea.KeyDown})
				for b.Loop() {
					m.top().Take(&m.world, table)
					m.Frame()
				}
			})
		}
	}
}
