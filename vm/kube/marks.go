package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// Marks are labels and taints of a node to set and to remove.
type Marks struct {
	Labels       map[string]string
	RemoveLabels []string
	Taints       []corev1.Taint
	RemoveTaints []corev1.Taint
}

// Mark changes the labels and taints of a node and leaves all others. A taint replaces
// one with the same key and effect. It does nothing for a node that does not exist.
func (c *Client) Mark(ctx context.Context, name string, marks Marks) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		node, err := c.set.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !marks.apply(node) {
			return nil
		}
		_, err = c.set.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
		return err
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("set labels and taints of node %s: %w", name, err)
	}
	return nil
}

// apply changes a node and reports whether anything changed.
func (m Marks) apply(node *corev1.Node) bool {
	labels := maps.Clone(node.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for _, name := range m.RemoveLabels {
		delete(labels, name)
	}
	maps.Copy(labels, m.Labels)
	taints := slices.DeleteFunc(slices.Clone(node.Spec.Taints), func(has corev1.Taint) bool {
		return slices.ContainsFunc(m.RemoveTaints, func(gone corev1.Taint) bool { return has.MatchTaint(&gone) && has.Value == gone.Value })
	})
	for _, wanted := range m.Taints {
		i := slices.IndexFunc(taints, func(has corev1.Taint) bool { return has.MatchTaint(&wanted) })
		switch {
		case i < 0:
			taints = append(taints, wanted)
		case taints[i].Value != wanted.Value:
			taints[i] = wanted
		}
	}
	changed := !maps.Equal(labels, node.Labels) || !slices.EqualFunc(taints, node.Spec.Taints, func(a, b corev1.Taint) bool { return a.MatchTaint(&b) && a.Value == b.Value })
	node.Labels, node.Spec.Taints = labels, taints
	return changed
}
