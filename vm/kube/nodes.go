package kube

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ReportNode creates an event about a node.
func (c *Client) ReportNode(ctx context.Context, name, kind, reason, message string) error {
	node, err := c.set.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		node, err = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, nil
	}
	if err != nil {
		return fmt.Errorf("get node %s for an event: %w", name, err)
	}
	event := newEvent(corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name, UID: node.UID}, kind, reason, message)
	event.Namespace, event.GenerateName = metav1.NamespaceDefault, name+"."
	if _, err := c.set.CoreV1().Events(metav1.NamespaceDefault).Create(ctx, event, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create an event of node %s: %w", name, err)
	}
	return nil
}

// ReportPod creates an event about a pod.
func (c *Client) ReportPod(ctx context.Context, namespace, name, uid, kind, reason, message string) error {
	event := newEvent(corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name, UID: types.UID(uid)}, kind, reason, message)
	event.Namespace, event.GenerateName = namespace, name+"."
	if _, err := c.set.CoreV1().Events(namespace).Create(ctx, event, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create an event of pod %s/%s: %w", namespace, name, err)
	}
	return nil
}

// LocalClaims returns the claims whose volumes can be used only on a node, because their
// data is on its disk: NAMESPACE/NAME, sorted.
func (c *Client) LocalClaims(ctx context.Context, node string) ([]string, error) {
	volumes, err := c.set.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var claims []string
	for _, volume := range volumes.Items {
		if claim := volume.Spec.ClaimRef; claim != nil && onlyOn(volume, node) {
			claims = append(claims, claim.Namespace+"/"+claim.Name)
		}
	}
	slices.Sort(claims)
	return claims, nil
}

// onlyOn reports whether a volume requires the node with the host name.
func onlyOn(volume corev1.PersistentVolume, node string) bool {
	if volume.Spec.NodeAffinity == nil || volume.Spec.NodeAffinity.Required == nil {
		return false
	}
	for _, term := range volume.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, e := range term.MatchExpressions {
			if e.Key == corev1.LabelHostname && e.Operator == corev1.NodeSelectorOpIn && slices.Contains(e.Values, node) {
				return true
			}
		}
	}
	return false
}
