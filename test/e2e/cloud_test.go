package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// addressLimit is how long a service may wait for its load balancer's address. The
// goal is one second; a kubectl on a busy host takes as long.
const addressLimit = 5 * time.Second

// testCloud checks what the cluster's cloud reports about its nodes, and that it removes
// a node that has no machine.
func testCloud(t *testing.T, k *kube, cluster string) {
	zones := map[string]string{"control-plane-1": "local-a", "worker-1": "local-a", "worker-2": "local-b"}
	for _, n := range k.nodes {
		object := "node/" + n.name
		equal(t, "provider ID of "+n.name, k.get(t, object, ".spec.providerID"), "skiff://"+cluster+"/"+n.name)
		equal(t, "zone of "+n.name, k.get(t, object, `.metadata.labels.topology\.kubernetes\.io/zone`), zones[n.name])
		equal(t, "region of "+n.name, k.get(t, object, `.metadata.labels.topology\.kubernetes\.io/region`), "local")
		contains(t, "instance type of "+n.name, k.get(t, object, `.metadata.labels.node\.kubernetes\.io/instance-type`), "-2cpu-2Gi")
		equal(t, "address of "+n.name, k.get(t, object, `.status.addresses[?(@.type=="InternalIP")].address`), n.address)
		if taints := k.get(t, object, ".spec.taints"); strings.Contains(taints, "cloudprovider") {
			t.Errorf("taints of %s: %s", n.name, taints)
		}
	}
	const machineless = `{"apiVersion":"v1","kind":"Node","metadata":{"name":"worker-99"}}`
	if a := k.create(t, machineless); a.code != 0 {
		t.Fatalf("create a node: %s%s", a.stdout, a.stderr)
	}
	eventually(t, waitLimit, "the node without a machine is removed", func() error {
		if a := k.try(t, "get", "node/worker-99"); !strings.Contains(a.stderr, "NotFound") {
			return fmt.Errorf("%s%s", a.stdout, a.stderr)
		}
		return nil
	})
}

// testLoadBalancer checks that services of type LoadBalancer get addresses at once,
// that these answer pods and nodes, and that they are free again afterwards.
func testLoadBalancer(t *testing.T, r *rig, cluster string, k *kube) {
	k.apply(t, "service.yaml")
	k.rollout(t, "deployment/web")
	k.rollout(t, "daemonset/client")
	k.apply(t, "loadbalancer.yaml")
	address, local := k.balancer(t, "balanced"), k.balancer(t, "balanced-local")
	if address == local {
		t.Errorf("both services have %s", address)
	}
	servers, clients := k.pods(t, "app=web"), k.onEveryNode(t, "app=client")
	for _, at := range []string{address, local} {
		url := "http://" + at + "/hostname"
		for _, client := range append(clients, servers...) { // from the pods behind it as well
			k.waitForAnswers(t, client.name, url, servers[0].name, servers[1].name)
		}
		for _, n := range k.nodes {
			eventually(t, waitLimit, at+" answers on "+n.name, func() error {
				a := r.trySkiff(t, "shell", "--cluster", cluster, n.name, "--", "sh", "-c",
					`printf 'GET /hostname HTTP/1.0\r\n\r\n' | nc -w 5 `+at+" 80")
				if !strings.Contains(a.stdout, "web-") {
					return fmt.Errorf("%s%s", a.stdout, a.stderr)
				}
				return nil
			})
		}
	}
	out := k.kubectl(t, "exec", clients[0].name, "--", "workload", "dial", "udp", address+":81")
	equal(t, "echo over udp", out, "ping over udp\n")

	// An address of another service is refused, and the reason is an event.
	k.create(t, service("greedy", address))
	eventually(t, waitLimit, "the reason is an event", func() error {
		events := k.kubectl(t, "get", "events", "--field-selector", "involvedObject.name=greedy,reason=SyncLoadBalancerFailed", "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(events, "in use by service "+k.namespace+"/balanced") {
			return fmt.Errorf("events %q", events)
		}
		return nil
	})
	// It is free once the service is gone, which is not before the cloud knows.
	k.kubectl(t, "delete", "service/balanced", "service/greedy", "--timeout="+waitLimit.String())
	k.create(t, service("next", address))
	equal(t, "requested address", k.balancer(t, "next"), address)
}

// create runs kubectl in the namespace with a manifest.
func (k *kube) create(t *testing.T, manifest string) commandResult {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.json")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return k.try(t, "create", "-f", file)
}

// service returns a service of type LoadBalancer that requests an address.
func service(name, address string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":%q},"spec":{"type":"LoadBalancer","loadBalancerIP":%q,"selector":{"app":"web"},"ports":[{"port":80}]}}`, name, address)
}

// balancer waits for the address of a service's load balancer, which must not take
// long, and returns it.
func (k *kube) balancer(t *testing.T, service string) string {
	t.Helper()
	begun := time.Now()
	k.wait(t, "jsonpath={.status.loadBalancer.ingress[0].ip}", "service/"+service)
	took := time.Since(begun)
	t.Logf("service %s: address after %.2f s", service, took.Seconds())
	if k.sandboxed && took > addressLimit {
		t.Errorf("service %s got its address after %s", service, took)
	}
	return k.get(t, "service/"+service, ".status.loadBalancer.ingress[0].ip")
}
