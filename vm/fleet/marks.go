package fleet

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/kube"
)

// label gives a node the labels and taints of its group, and removes those that Skiff set
// before. Others are the user's.
func (e *executor) label(ctx context.Context, n cluster.Node) error {
	state := e.state.current()
	was, _ := state.Machine(n.Name)
	wanted := cluster.MarksOf(state.Spec, n.Name)
	marks, err := changesOf(wanted, was)
	if err != nil {
		return err
	}
	// The record comes first, so that everything that was set can be removed after a crash.
	if err := e.state.changeMachine(n.Name, func(m *cluster.Machine) {
		m.Labels = maps.Clone(was.Labels)
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		maps.Copy(m.Labels, wanted.Labels)
		m.Taints = slices.Compact(slices.Sorted(slices.Values(slices.Concat(was.Taints, wanted.Taints))))
	}); err != nil {
		return err
	}
	if err := e.api.kube.Mark(ctx, n.Name, marks); err != nil {
		return err
	}
	return e.state.changeMachine(n.Name, func(m *cluster.Machine) { m.Labels, m.Taints = wanted.Labels, wanted.Taints })
}

// changesOf returns how a node with remembered marks gets the wanted ones. The taint of
// control planes that the user may have removed is not set again.
func changesOf(wanted cluster.Marks, was cluster.Machine) (kube.Marks, error) {
	changes := kube.Marks{Labels: wanted.Labels}
	for name := range was.Labels {
		if _, ok := wanted.Labels[name]; !ok {
			changes.RemoveLabels = append(changes.RemoveLabels, name)
		}
	}
	add := func(to *[]corev1.Taint, text string) error {
		taint, err := cluster.ParseTaint(text)
		*to = append(*to, taint)
		return err
	}
	for _, text := range was.Taints {
		if slices.Contains(wanted.Taints, text) {
			continue
		}
		if err := add(&changes.RemoveTaints, text); err != nil {
			return changes, err
		}
	}
	for _, text := range wanted.Taints {
		if text == cluster.RoleTaint && slices.Contains(was.Taints, text) {
			continue
		}
		if err := add(&changes.Taints, text); err != nil {
			return changes, err
		}
	}
	return changes, nil
}
