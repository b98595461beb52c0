package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// testDualStack creates a cluster with both IP families and uses it over IPv6, and
// over IPv4 next to it.
func testDualStack(t *testing.T, r *rig) {
	const name = "dual"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--workers", "2", "--ip-family", "dual")
	a := r.trySkiff(t, "up", name, "--ip-family", "ipv4")
	equal(t, "exit code of up with another family", a.code, 2)
	contains(t, "up with another family", a.stderr, "network.ipFamily cannot change from dual to ipv4")
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name}
	k.discover(t)
	t.Run("Services", func(t *testing.T) { k.in(t).servesBothFamilies(t, name) })
	t.Run("Policies", func(t *testing.T) { k.in(t).limitsBothFamilies(t) })
}

// families returns an address of each family, IPv4 first, from a list of an object.
func (k *kube) families(t *testing.T, object, path string) []string {
	t.Helper()
	all := strings.Fields(k.get(t, object, path))
	if len(all) != 2 {
		t.Fatalf("%s of %s: %v, want two", path, object, all)
	}
	first, second := netip.MustParseAddr(all[0]), netip.MustParseAddr(all[1])
	if !first.Is4() || !second.Is6() {
		t.Fatalf("%s of %s: %v, want IPv4 and IPv6", path, object, all)
	}
	return all
}

// makeDual gives a service an address of each family, and returns both.
func (k *kube) makeDual(t *testing.T, service string) []string {
	t.Helper()
	k.kubectl(t, "patch", service, "-p", `{"spec":{"ipFamilyPolicy":"RequireDualStack"}}`)
	return k.families(t, service, ".spec.clusterIPs[*]")
}

func (k *kube) servesBothFamilies(t *testing.T, cluster string) {
	k.apply(t, "service.yaml")
	k.rollout(t, "deployment/web")
	k.rollout(t, "daemonset/client")
	servers, clients := k.pods(t, "app=web"), k.onEveryNode(t, "app=client")
	if len(servers) != 2 || servers[0].node == servers[1].node {
		t.Fatalf("servers %+v, want two on different nodes", servers)
	}
	addresses := k.makeDual(t, "service/web")
	k.makeDual(t, "service/web-outside")
	port := k.get(t, "service/web-outside", ".spec.ports[0].nodePort")
	for _, client := range clients {
		own := k.families(t, "pod/"+client.name, ".status.podIPs[*].ip")
		for family := range own {
			for _, server := range servers {
				at := net.JoinHostPort(k.families(t, "pod/"+server.name, ".status.podIPs[*].ip")[family], "8080")
				out := k.kubectl(t, "exec", client.name, "--", "workload", "get", "http://"+at+"/client")
				equal(t, "address that "+server.name+" on "+server.node+" sees", strings.TrimSpace(out), own[family])
			}
			k.waitForAnswers(t, client.name, "http://"+net.JoinHostPort(addresses[family], "80")+"/hostname", servers[0].name, servers[1].name)
			for _, network := range []string{"tcp", "udp"} {
				out := k.kubectl(t, "exec", client.name, "--", "workload", "dial", network, net.JoinHostPort(addresses[family], "81"))
				equal(t, "echo over "+network, out, "ping over "+network+"\n")
			}
			for _, n := range k.nodes {
				at := k.families(t, "node/"+n.name, `.status.addresses[?(@.type=="InternalIP")].address`)[family]
				k.waitForAnswers(t, client.name, "http://"+net.JoinHostPort(at, port)+"/hostname", servers[0].name, servers[1].name)
			}
		}
		contains(t, "DNS answer", k.sh(t, client.name, "nslookup -type=aaaa web."+k.namespace+".svc.cluster.local"), addresses[1])
	}
	// A program of the node itself.
	get := []string{"shell", "worker-1", "-c", cluster, "--", "wget", "-qO-", "http://" + net.JoinHostPort(addresses[1], "80") + "/hostname"}
	contains(t, "answer to the node", k.skiff(t, get...), "web-")
	k.leavesNoFurther(t, clients[0].name)
	k.balances(t, cluster, servers)
}

// leavesNoFurther checks that IPv6 addresses outside of the cluster are refused at
// once.
func (k *kube) leavesNoFurther(t *testing.T, client string) {
	t.Helper()
	for _, at := range []string{"[2001:db8::1]:80", "[fd73:6b69:6666::ffff]:80", "[fd73:6b69:6666:1ff::2]:80"} {
		a := k.try(t, "exec", client, "--", "workload", "get", "-timeout", "20s", "http://"+at+"/")
		if a.code == 0 || !strings.Contains(a.stderr, "unreachable") || a.took > 10*time.Second {
			t.Errorf("%s: exit code %d after %s, %s", at, a.code, a.took, a.stderr)
		}
	}
}

// balances checks that the host reaches load balancers, whichever family is first.
func (k *kube) balances(t *testing.T, cluster string, servers []pod) {
	t.Helper()
	for port, families := range map[int]string{28090: `["IPv4","IPv6"]`, 28091: `["IPv6","IPv4"]`} {
		name := fmt.Sprintf("balanced-%d", port)
		a := k.create(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":%q},"spec":{"type":"LoadBalancer",
			"ipFamilyPolicy":"RequireDualStack","ipFamilies":%s,"selector":{"app":"web"},"ports":[{"port":%d,"targetPort":"http"}]}}`, name, families, port))
		equal(t, "exit code of create "+name+": "+a.stderr, a.code, 0)
		k.answers(t, k.awaitHost(t, cluster, k.namespace, name, port)[0], servers)
	}
}

func (k *kube) limitsBothFamilies(t *testing.T) {
	k.needPolicies(t)
	k.apply(t, "policy-pods.yaml")
	k.wait(t, "condition=Ready", "pod/server")
	k.rollout(t, "daemonset/friend")
	k.rollout(t, "daemonset/stranger")
	friends, strangers := k.onEveryNode(t, "app=friend"), k.onEveryNode(t, "app=stranger")
	targets := append(k.families(t, "pod/server", ".status.podIPs[*].ip"), k.makeDual(t, "service/server")...)
	expect := func(from []pod, reach bool) {
		t.Helper()
		for _, p := range from {
			for _, target := range targets {
				eventually(t, waitLimit, "network policy", func() error {
					a := k.try(t, "exec", p.name, "--", "workload", "get", "-timeout", "3s", "http://"+net.JoinHostPort(target, "8080")+"/hostname")
					if (a.code == 0) != reach {
						return fmt.Errorf("%s on %s reaches %s: %t, want %t; %s", p.name, p.node, target, a.code == 0, reach, a.stderr)
					}
					return nil
				})
			}
		}
	}
	expect(append(friends, strangers...), true)
	k.apply(t, "policy.yaml")
	expect(strangers, false)
	expect(friends, true)
	k.apply(t, "policy-egress.yaml")
	expect(friends, false)
}
