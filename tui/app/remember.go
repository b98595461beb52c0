package app

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/screen"
)

// keeper saves states in the background: a disk may take its time.
type keeper struct {
	mu     sync.Mutex // guards newest
	newest State
	saving sync.Mutex // held while a state is written
}

func (k *keeper) keep(state State) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.newest = state
}

func (k *keeper) save(write func(State)) {
	k.saving.Lock()
	defer k.saving.Unlock()
	k.mu.Lock()
	newest := k.newest
	k.mu.Unlock()
	write(newest)
}

// remember keeps what the next start begins with.
func (m *Model) remember() {
	if m.config.Save == nil {
		return
	}
	last := m.config.Settings.Remembered
	state := State{
		Clusters: slices.Clone(m.world.Clusters), Namespaces: maps.Clone(last.Namespaces), Theme: m.world.Theme.Name,
		View: last.View, Resource: last.Resource, Orders: m.world.Orders,
	}
	if state.Namespaces == nil {
		state.Namespaces = map[string][]string{}
	}
	if len(m.world.Clusters) == 1 {
		state.Namespaces[m.world.Clusters[0]] = slices.Clone(m.world.Namespaces)
	}
	m.config.Settings.Remembered = state
	m.keeper.keep(state)
	m.jobs.running.Go(func() { m.keeper.save(m.config.Save) })
}

// views are the screens that can be begun with, by the names that --start has
// for them.
var views = map[string]func(*screen.World) screen.Screen{
	"nodes":        func(w *screen.World) screen.Screen { return screen.NewNodes(w) },
	"workloads":    func(w *screen.World) screen.Screen { return screen.NewWorkloads(w, nil) },
	"pulse":        func(w *screen.World) screen.Screen { return screen.NewPulse(w) },
	"controlplane": func(w *screen.World) screen.Screen { return screen.NewControl(w.Clusters[0]) },
	"pods":         func(w *screen.World) screen.Screen { return screen.NewObjects(w, object.Pods, screen.Narrow{}) },
}

// first is the screen to begin with: the one that is asked for, else the one
// that was shown last.
func (m *Model) first(start string) screen.Screen {
	last := m.config.Settings.Remembered
	switch {
	case start == "clusters" || len(m.world.Clusters) == 0:
		return screen.NewClusters(&m.world)
	case views[start] != nil:
		return views[start](&m.world)
	case last.Resource != nil && common(*last.Resource):
		return screen.NewObjects(&m.world, *last.Resource, screen.Narrow{})
	case views[last.View] != nil:
		return views[last.View](&m.world)
	}
	return views["pods"](&m.world)
}

// common says whether every server has the resource: one that only some have is
// no good beginning.
func common(r object.Resource) bool {
	return r.Name != "" && r.Version != "" && (!strings.Contains(r.Group, ".") || strings.HasSuffix(r.Group, ".k8s.io"))
}

// shown notes which screen a next run begins with; what is shown of one object
// is none.
func (m *Model) shown(s screen.Screen) {
	last := &m.config.Settings.Remembered
	view, resource := "", (*object.Resource)(nil)
	switch s := s.(type) {
	case *screen.Objects:
		if s.Scope.Name != "" || !common(s.Resource) {
			return
		}
		resource = &s.Resource
	case *screen.Nodes:
		view = "nodes"
	case *screen.Workloads:
		view = "workloads"
	case *screen.Pulse:
		view = "pulse"
	case *screen.Control:
		view = "controlplane"
	default:
		return
	}
	if view == last.View && (resource == nil) == (last.Resource == nil) && (resource == nil || resource.ID() == last.Resource.ID()) {
		return
	}
	last.View, last.Resource = view, resource
	m.remember()
}
