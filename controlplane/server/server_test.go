package server_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestControlPlane takes one control plane through its life, since each start
// takes seconds.
func TestControlPlane(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir)
	t.Run("serves the version it is made of", c.version)
	t.Run("shows anonymous clients its health and version only", c.strangers)
	t.Run("lists upstream's health checks", c.healthChecks)
	t.Run("publishes its issuer to whom RBAC allows", c.issuerDiscovery)
	t.Run("speaks TLS 1.3 and nothing older", c.tls13)
	t.Run("makes pods of a deployment", c.deployment)
	t.Run("approves a kubelet's own certificate and denies another's", c.kubeletCertificates)
	t.Run("limits a worker to its own objects", c.workerRights)
	t.Run("labels a node with its role", c.roleLabel)
	t.Run("cuts a pod range for a node", c.podRange)
	t.Run("provisions a local volume on the chosen node", c.volume)
	t.Run("applies on the server's side", c.apply)
	t.Run("describes built-in and custom types", c.openAPI)
	t.Run("calls webhooks behind services", c.webhooks)
	t.Run("keeps secrets encrypted", c.secrets)
	t.Run("rotates the key of secrets while it works", func(t *testing.T) { rotate(t, dir, c) })
	t.Run("works with renewed certificates", c.renewed)
	t.Run("lets nobody in without its certificate, at any port", c.ports)
	t.Run("writes an audit log", c.audit)
	if err := c.stop(); err != nil {
		t.Fatalf("stopped with %v", err)
	}
	c = start(t, dir)
	t.Run("is what it was after a restart", c.restarted)
	if err := c.stop(); err != nil {
		t.Fatalf("stopped with %v the second time", err)
	}
	t.Run("leaves no private files", func(t *testing.T) {
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
