package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// testMetrics reads the metrics API with kubectl, and lets an autoscaler that reads it
// scale a deployment up and down.
func testMetrics(t *testing.T, k *kube) {
	k.apply(t, "autoscaled.yaml")
	k.rollout(t, "deployment/busy")
	eventually(t, waitLimit, "kubectl top shows all nodes", func() error {
		a := k.try(t, "top", "nodes", "--no-headers")
		if shown := len(strings.Split(strings.TrimSpace(a.stdout), "\n")); a.code != 0 || shown != len(k.nodes) || strings.Contains(a.stdout, "unknown") {
			return fmt.Errorf("%d nodes: %s", len(k.nodes), a.stdout+a.stderr)
		}
		return nil
	})
	eventually(t, waitLimit, "kubectl top shows the container", func() error {
		a := k.try(t, "top", "pods", "--containers", "--no-headers")
		if !strings.Contains(a.stdout, " work ") {
			return fmt.Errorf("%s", a.stdout+a.stderr)
		}
		return nil
	})
	replicas := func(want string) {
		t.Helper()
		eventually(t, waitLimit, "the autoscaler wants replicas: "+want, func() error {
			if got := k.get(t, "deployment/busy", ".spec.replicas"); got != want {
				return fmt.Errorf("%s: %s", got, k.kubectl(t, "describe", "hpa", "busy"))
			}
			return nil
		})
	}
	replicas("2")
	k.kubectl(t, "patch", "deployment", "busy", "-p",
		`{"spec":{"template":{"spec":{"containers":[{"name":"work","command":["workload","serve"]}]}}}}`)
	replicas("1")
}
