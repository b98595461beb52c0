package fleet

import (
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/home"
)

// store is the cluster's state in memory and on disk.
type store struct {
	path string

	mu    sync.Mutex // guards state
	state cluster.State
}

// openStore reads the state in dir; without one it returns that of a new cluster.
func openStore(dir home.Cluster, now time.Time) (*store, error) {
	state, err := cluster.ReadState(dir.State())
	if cluster.IsAbsent(err) {
		return &store{path: dir.State(), state: cluster.State{Created: now.UTC()}}, nil
	}
	return &store{path: dir.State(), state: state}, err
}

func (s *store) current() cluster.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state
	state.Machines = slices.Clone(state.Machines)
	return state
}

func (s *store) spec() cluster.Spec { return s.current().Spec }

// names returns the names of all machines that exist or may exist.
func (s *store) names() []string { return s.current().Names() }

// members returns the desired nodes and the control planes that are leaving.
func (s *store) members() []cluster.Node {
	state := s.current()
	return append(state.Desired(), state.Leaving()...)
}

// desired returns the desired nodes.
func (s *store) desired() []cluster.Node { return s.current().Desired() }

// leaving returns the control planes that are no longer desired but still exist.
func (s *store) leaving() []cluster.Node { return s.current().Leaving() }

// controlPlanes returns the desired control planes.
func (s *store) controlPlanes() []cluster.Node {
	return slices.DeleteFunc(s.desired(), func(n cluster.Node) bool { return n.Role != nodeconfig.RoleControlPlane })
}

// find returns the member with a name; false if there is none.
func (s *store) find(name string) (cluster.Node, bool) {
	for _, n := range s.members() {
		if n.Name == name {
			return n, true
		}
	}
	return cluster.Node{}, false
}

// change changes the state and writes it.
func (s *store) change(change func(*cluster.State)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
	return cluster.WriteState(s.path, s.state)
}

// changeMachine changes what is remembered of a machine.
func (s *store) changeMachine(name string, change func(*cluster.Machine)) error {
	return s.change(func(state *cluster.State) {
		for i := range state.Machines {
			if state.Machines[i].Name == name {
				change(&state.Machines[i])
			}
		}
	})
}
