package server_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestControlPlane tests one control plane from its first start to its second stop,
// because each start takes seconds.
func TestControlPlane(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir)
	t.Run("serves the version that it was built from", c.version)
	t.Run("shows anonymous clients its health and version only", c.strangers)
	t.Run("lists upstream's health checks", c.healthChecks)
	t.Run("publishes its issuer to subjects that RBAC allows", c.issuerDiscovery)
	t.Run("accepts TLS 1.3 only", c.tls13)
	t.Run("creates the pods of a deployment", c.deployment)
	t.Run("limits a worker to its own objects", c.workerRights)
	t.Run("labels a node with its role", c.roleLabel)
	t.Run("allocates a pod CIDR for a node", c.podRange)
	t.Run("simulates nodes, which use up no pod CIDR, and their pods", c.simulatedNodes)
	t.Run("provisions a local volume on the chosen node", c.volume)
	t.Run("supports server-side apply", c.apply)
	t.Run("lets continue tokens expire with a compaction", c.compaction)
	t.Run("describes built-in and custom types", c.openAPI)
	t.Run("serves the metrics of nodes and pods", c.resourceMetrics)
	t.Run("calls webhooks behind services", c.webhooks)
	t.Run("encrypts secrets at rest", c.secrets)
	t.Run("rotates the encryption key while it serves", func(t *testing.T) { rotate(t, dir, c) })
	t.Run("works with renewed certificates", c.renewed)
	t.Run("accepts only its own certificates on every port", c.ports)
	t.Run("writes an audit log", c.audit)
	if err := c.stop(); err != nil {
		t.Fatalf("stopped with %v", err)
	}
	c = start(t, dir)
	t.Run("has the same data after a restart", c.restarted)
	if err := c.stop(); err != nil {
		t.Fatalf("stopped with %v the second time", err)
	}
	t.Run("removes its private files", func(t *testing.T) {
		if left, _ := filepath.Glob(filepath.Join(dir, "controlplane-*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func (c *cluster) restarted(t *testing.T) {
	if got, err := c.client.CoreV1().Secrets("default").Get(t.Context(), "hidden", metav1.GetOptions{}); err != nil || len(got.Data) != 1 {
		t.Errorf("secret: %v, %v", got, err)
	}
	replicas := []byte(`{"spec":{"replicas":1}}`)
	if _, err := c.client.AppsV1().Deployments("default").Patch(t.Context(), "web", types.MergePatchType, replicas, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "controllers work again", func(ctx context.Context) error {
		pods, err := c.client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil || len(pods.Items) != 1 {
			return fmt.Errorf("%d pods, %w", len(pods.Items), err)
		}
		return nil
	})
}

func (c *cluster) version(t *testing.T) {
	v, err := c.client.Discovery().ServerVersion()
	if err != nil || v.Major != "1" || v.Minor == "" {
		t.Fatalf("%+v, %v", v, err)
	}
}
