package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// testMetrics reads the metrics API with kubectl, and lets autoscalers that read it scale
// deployments up and down, by CPU and by memory.
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
	k.firstValues(t)
	replicas := func(name, want string) {
		t.Helper()
		eventually(t, waitLimit, "the autoscaler of "+name+" wants replicas: "+want, func() error {
			if got := k.get(t, "deployment/"+name, ".spec.replicas"); got != want {
				return fmt.Errorf("%s: %s", got, k.kubectl(t, "describe", "hpa", name))
			}
			return nil
		})
	}
	replicas("busy", "2")
	replicas("large", "2")
	for name, change := range map[string]string{"busy": `"command":["workload","serve"]`, "large": `"resources":{"requests":{"memory":"128Mi"}}`} {
		k.kubectl(t, "patch", "deployment", name, "-p", `{"spec":{"template":{"spec":{"containers":[{"name":"work",`+change+`}]}}}}`)
	}
	replicas("busy", "1")
	replicas("large", "1")
}

// firstValues logs how soon after its start the metrics API has values of a pod. The goal
// of 20 s is that of the periods: the kubelet measures every 10 s and is asked every 10 s.
func (k *kube) firstValues(t *testing.T) {
	t.Helper()
	for i := range 3 {
		name := fmt.Sprintf("fresh-%d", i) // values of an earlier pod of the same name would be shown
		k.kubectl(t, "run", name, "--image=skiff.test/workload:1", "--image-pull-policy=Never", "--", "serve")
		k.wait(t, "condition=Ready", "pod/"+name)
		started, err := time.Parse(time.RFC3339, k.get(t, "pod/"+name, ".status.containerStatuses[0].state.running.startedAt"))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, waitLimit, "kubectl top shows the pod", func() error {
			if a := k.try(t, "top", "pod", name, "--no-headers"); a.code != 0 {
				return fmt.Errorf("%s", a.stdout+a.stderr)
			}
			return nil
		})
		t.Logf("first values %.0f s after the start of a pod", time.Since(started).Seconds())
		k.kubectl(t, "delete", "pod", name, "--wait=true", "--grace-period=1")
	}
}
