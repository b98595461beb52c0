package cluster

import (
	"maps"
	"reflect"
	"slices"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Settings are settings of Kubernetes' components.
type Settings struct {
	Components nodeconfig.Components
	// Kubelets are additional settings of kubelets, by group.
	Kubelets map[string]map[string]any
}

// Of returns the settings of a node.
func (s Settings) Of(n Node) nodeconfig.Components {
	c := s.Components
	if kubelet := s.Kubelets[n.Group]; len(kubelet) > 0 {
		c.Kubelet = merged(c.Kubelet, kubelet)
	}
	return c.For(n.Role)
}

// InForce returns the settings in force.
func (s State) InForce() Settings { return Settings{s.Components, s.Kubelets} }

// WantedSettings returns the desired settings.
func (s State) WantedSettings() Settings { return Settings{s.Spec.Kubernetes, Kubelets(s.Spec)} }

// NodeSettings returns the settings that nodes get now: those of Trial, if it is set.
func (s State) NodeSettings() Settings {
	if s.Trial != nil {
		return Settings{*s.Trial, s.TrialKubelets}
	}
	return s.InForce()
}

// SetSettings records which settings are in force, which are wanted, and which running
// nodes get for now, if any.
func (s *State) SetSettings(inForce, wanted Settings, trial *Settings) {
	s.Components, s.Kubelets = inForce.Components, inForce.Kubelets
	s.Trial, s.TrialKubelets = nil, nil
	if trial != nil {
		s.Trial, s.TrialKubelets = &trial.Components, trial.Kubelets
	}
	s.Spec.Kubernetes = wanted.Components
	s.Spec.Nodes = slices.Clone(s.Spec.Nodes)
	for i, g := range s.Spec.Nodes {
		s.Spec.Nodes[i].Kubelet = wanted.Kubelets[g.Name]
	}
}

// merged returns base with the values of over. Objects are merged.
func merged(base, over map[string]any) map[string]any {
	all := maps.Clone(base)
	if all == nil {
		all = map[string]any{}
	}
	for name, value := range over {
		below, isObject := value.(map[string]any)
		if was, ok := all[name].(map[string]any); ok && isObject {
			value = merged(was, below)
		}
		all[name] = value
	}
	return all
}

// Kubelets returns the additional settings of kubelets, by group.
func Kubelets(spec Spec) map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, g := range spec.Nodes {
		if len(g.Kubelet) > 0 {
			all[g.Name] = g.Kubelet
		}
	}
	return all
}

// changedKubelets reports whether the settings of the kubelets of existing nodes change.
func changedKubelets(spec Spec, observed Observed) bool {
	wanted := Kubelets(spec)
	return slices.ContainsFunc(Nodes(spec, observed.Known), func(n Node) bool {
		was, is := observed.Kubelets[n.Group], wanted[n.Group]
		if len(was) == 0 && len(is) == 0 {
			return false
		}
		_, exists := findMachine(observed.Known, n.Name)
		return exists && !reflect.DeepEqual(was, is)
	})
}
