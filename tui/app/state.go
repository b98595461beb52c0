package app

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
)

// stateSaver saves the newest state in the background, because a disk may be
// slow.
type stateSaver struct {
	mu     sync.Mutex // guards newest
	newest State
	saving sync.Mutex // held while a state is written
}

func (s *stateSaver) set(state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest = state
}

func (s *stateSaver) save(write func(State)) {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	newest := s.newest
	s.mu.Unlock()
	write(newest)
}

// remember saves the state that the next run starts with.
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
	m.saver.set(state)
	m.jobs.running.Go(func() { m.saver.save(m.config.Save) })
}

// first returns the first screen: the requested one, else the one that was shown
// last.
func (m *Model) first(start string) screen.Screen {
	last := m.config.Settings.Remembered
	to := startScreen(start)
	switch {
	case start == startClusters || len(m.world.Clusters) == 0:
		to = screen.Clusters{}
	case to != nil:
	case last.Resource != nil && builtIn(*last.Resource):
		to = screen.Objects{Resource: *last.Resource}
	default:
		to = startScreen(last.View)
	}
	if to == nil {
		to = starts[0].to
	}
	return m.build(to)
}

// builtIn reports whether every server has the resource. Other resources are not
// suitable for the first screen.
func builtIn(r object.Resource) bool {
	return r.Name != "" && r.Version != "" && (!strings.Contains(r.Group, ".") || strings.HasSuffix(r.Group, ".k8s.io"))
}

// recordView records the screen that the next run starts with.
func (m *Model) recordView(s screen.Screen) {
	r, ok := s.(screen.Remembered)
	if !ok {
		return
	}
	last := &m.config.Settings.Remembered
	view, resource := r.Start()
	switch {
	case view != "" && (last.View != view || last.Resource != nil):
		last.View, last.Resource = view, nil
	case builtIn(resource) && (last.View != "" || last.Resource == nil || last.Resource.ID() != resource.ID()):
		last.View, last.Resource = "", &resource
	default:
		return
	}
	m.remember()
}

// State is saved at the end of a run for the next one.
type State struct {
	Clusters []string `json:"clusters,omitempty"`
	// Namespaces by cluster.
	Namespaces map[string][]string `json:"namespaces,omitempty"`
	Theme      string              `json:"theme,omitempty"`
	// The screen that was shown last is View, as in --start, or the list of
	// Resource.
	View     string           `json:"view,omitempty"`
	Resource *object.Resource `json:"resource,omitempty"`
	// Orders are the sort orders of resources, by resource ID.
	Orders map[string]screen.Order `json:"orders,omitempty"`
}
