package app

import (
	"fmt"
	"slices"
	"testing"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/tui/keys"
)

// quiet are actions that may do nothing: at the end of a list, or without a
// match.
var quiet = []keys.Action{
	keys.Up, keys.Down, keys.PageUp, keys.PageDown, keys.Top, keys.Bottom, keys.Left, keys.Right, keys.Next, keys.Prev,
	keys.SortPrev, keys.SortAge, keys.Reverse, keys.Unmark, keys.Wrap, keys.Wide, keys.AllNamespaces,
}

// TestEveryListedKeyDoesSomething presses each key of each screen.
func TestEveryListedKeyDoesSomething(t *testing.T) {
	for _, name := range []string{
		"clusters", "nodes", "workloads", "pods", "containers", "describe", "yaml", "secret", "logs", "deployments", "statefulsets", "daemonsets",
		"jobs", "cronjobs", "history", "tree", "services", "secrets", "config", "events", "custom", "namespaces", "pulse", "forwards", "resources",
	} {
		tour := tours[slices.IndexFunc(tours, func(one struct {
			name  string
			start string
			keys  []string
		}) bool {
			return one.name == name
		})]
		config := Config{Clusters: clustersFor(tour.start), Start: tour.start}
		var bindings []keys.Binding
		play(t, 120, 40, config, func(p *player) {
			p.press(tour.keys...)
			bindings = p.m.world.Keys.In(p.m.top().Scopes()...)
		})
		for _, b := range bindings {
			if b.Scope == keys.Everywhere || b.Scope == keys.Document && (string(b.Action) == name || name == "secret" && b.Action == keys.YAML) || slices.Contains(quiet, b.Action) {
				continue
			}
			play(t, 120, 40, config, func(p *player) {
				p.press(tour.keys...)
				state := func() string { return fmt.Sprint(p.text(), p.host.tasks, p.host.ran, p.execs) }
				before := state()
				p.press(b.Keys[0])
				if state() == before {
					t.Errorf("%s: %s (%s: %s) does nothing", name, b.Keys[0], b.Scope, b.Help)
				}
			})
		}
	}
}

// TestNoKeyNeedsData presses each key before any data have arrived.
func TestNoKeyNeedsData(t *testing.T) {
	for _, start := range starts {
		playOn(t, 120, 40, Config{Clusters: []string{"dev"}, Namespaces: []string{"shop"}, Start: start.name}, true, func(p *player) {
			p.want("loading …")
			for _, b := range p.m.world.Keys.In(p.m.top().Scopes()...) {
				if b.Action == keys.Quit || b.Action == keys.AllNamespaces {
					continue
				}
				p.press(b.Keys[0])
				p.send(tea.MouseClickMsg{X: 20, Y: bodyTop, Button: tea.MouseLeft})
				p.send(tea.MouseClickMsg{X: 20, Y: bodyTop + 3, Button: tea.MouseLeft})
				p.press("esc", "esc")
			}
		})
	}
}
