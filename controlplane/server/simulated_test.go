package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/internal/names"
)

func (c *cluster) simulatedNodes(t *testing.T) {
	const name = "simulated-0001"
	nodes, pods := c.client.CoreV1().Nodes(), c.client.CoreV1().Pods("default")
	c.node(t, name, map[string]string{names.LabelSimulated: names.ValueSimulated, corev1.LabelHostname: name})
	c.eventually(t, "a simulated node that is Ready", func(ctx context.Context) error {
		n, err := nodes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if n.Spec.PodCIDR != "" {
			t.Fatalf("a simulated node has the pod range %s", n.Spec.PodCIDR)
		}
		for _, condition := range n.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return errors.New("not Ready")
	})
	_, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "simulated"},
		Spec: corev1.PodSpec{
			NodeName: name, AutomountServiceAccountToken: new(bool), Containers: []corev1.Container{{Name: "none", Image: "none"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "a pod that seems to run", func(ctx context.Context) error {
		p, err := pods.Get(ctx, "simulated", metav1.GetOptions{})
		if err != nil || p.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("phase %s, %w", p.Status.Phase, err)
		}
		if address, err := netip.ParseAddr(p.Status.PodIP); err != nil || !netip.MustParsePrefix(names.SimulatedPods).Contains(address) {
			t.Fatalf("the pod has the address %q", p.Status.PodIP)
		}
		return nil
	})
	if err := pods.Delete(t.Context(), "simulated", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the end of the pod", func(ctx context.Context) error {
		if _, err := pods.Get(ctx, "simulated", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there: %w", err)
		}
		return nil
	})
	if err := nodes.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}
