package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	objects "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	gateways "sigs.k8s.io/gateway-api/pkg/client/clientset/versioned/fake"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/edge/catalog/catalogtest"
	"github.com/skiff-dev/skiff/vm/machine"
)

func node(name, pods string, change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: pods},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	if change != nil {
		change(n)
	}
	return n
}

func balancer(name, address string, port int32) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.80",
			Ports: []corev1.ServicePort{{Name: "http", Port: port, NodePort: 30080, Protocol: corev1.ProtocolTCP}},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: address}}}},
	}
}

// viewOf is the view of a cluster of a control plane and two workers that run.
func viewOf(all ...objects.Object) view {
	spec := cluster.Default()
	v := view{snapshot: catalogtest.Snapshot(all...), network: spec.Network, members: cluster.Nodes(spec, nil), states: map[string]machine.State{}}
	for _, n := range v.members {
		v.states[n.Name] = machine.StateRunning
	}
	return v
}

func route(destination, via string) machine.Route {
	return machine.Route{Destination: netip.MustParsePrefix(destination), Via: netip.MustParseAddr(via)}
}

func TestRoutesLeadToPodsServicesAndLoadBalancers(t *testing.T) {
	v := viewOf(
		node("control-plane-1", "10.244.0.0/24", nil), node("worker-1", "10.244.1.0/24", nil), node("worker-2", "10.244.2.0/24", nil),
		balancer("web", "192.168.104.240", 80),
	)
	want := []machine.Route{
		route("10.244.0.0/24", "192.168.104.11"), route("10.244.1.0/24", "192.168.104.21"), route("10.244.2.0/24", "192.168.104.22"),
		route("10.96.0.0/16", "192.168.104.21"), route("192.168.104.240/32", "192.168.104.21"),
	}
	routes, via := v.routes(netip.Addr{})
	if !reflect.DeepEqual(routes, want) {
		t.Errorf("%v, want %v", routes, want)
	}
	if _, kept := v.routes(netip.MustParseAddr("192.168.104.22")); kept != netip.MustParseAddr("192.168.104.22") || via == kept {
		t.Errorf("first via %s, then %s", via, kept)
	}
	v.states["worker-1"] = machine.StateStopped
	routes, _ = v.routes(via)
	want = []machine.Route{
		route("10.244.0.0/24", "192.168.104.11"), route("10.244.2.0/24", "192.168.104.22"),
		route("10.96.0.0/16", "192.168.104.22"), route("192.168.104.240/32", "192.168.104.22"),
	}
	if !reflect.DeepEqual(routes, want) {
		t.Errorf("without worker-1: %v, want %v", routes, want)
	}
}

func TestNodesThatDoNotServeGetNoTraffic(t *testing.T) {
	notReady := func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }
	excluded := func(n *corev1.Node) { n.Labels = map[string]string{corev1.LabelNodeExcludeBalancers: ""} }
	v := viewOf(node("control-plane-1", "", excluded), node("worker-1", "", notReady), node("worker-2", "", nil), node("stranger", "", nil))
	if usable := v.usable(); len(usable) != 1 || usable[0].Name != "worker-2" {
		t.Errorf("%v", usable)
	}
	v.states["worker-2"] = machine.StatePaused
	if usable := v.usable(); len(usable) != 0 {
		t.Errorf("%v", usable)
	}
	if routes, via := v.routes(netip.Addr{}); len(routes) != 0 || via.IsValid() {
		t.Errorf("%v via %s", routes, via)
	}
}

func TestServicesAreReachedThroughNodesThatStay(t *testing.T) {
	v := viewOf(node("control-plane-1", "", nil), node("worker-1", "", nil), node("worker-2", "", nil))
	v.leaving = map[string]bool{"worker-1": true}
	first := v.members[1].Address.Addr()
	if _, via := v.routes(first); via != v.members[2].Address.Addr() {
		t.Errorf("via %s, which is about to end", via)
	}
	v.leaving = map[string]bool{"control-plane-1": true, "worker-1": true, "worker-2": true}
	if _, via := v.routes(first); via != first {
		t.Errorf("via %s although all are about to end", via)
	}
}

func TestNodesSettleAfterAPause(t *testing.T) {
	notReady := func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }
	before := viewOf(node("worker-1", "", nil), node("worker-2", "", nil)).usable()
	v := viewOf(node("worker-1", "", notReady), node("worker-2", "", nil))
	if v.settled(before) {
		t.Error("settled while a node is not Ready again")
	}
	v.states["worker-1"] = machine.StateStopped
	if !v.settled(before) {
		t.Error("a machine that has ended is waited for")
	}
	if v := viewOf(node("worker-1", "", nil), node("worker-2", "", nil)); !v.settled(before) || !v.settled(nil) {
		t.Error("not settled although all nodes are Ready")
	}
}

// TestAPICannotTakeAddressesOfMachines checks what somebody may write who can
// change nodes and services.
func TestAPICannotTakeAddressesOfMachines(t *testing.T) {
	all := []objects.Object{
		node("worker-1", "10.244.0.0/15", nil), node("worker-2", "192.168.104.0/24", nil), node("control-plane-1", "10.244.1.1/24", nil),
	}
	for i, address := range []string{
		"192.168.104.22", "192.168.104.23", "192.168.104.2", "192.168.104.3", "192.168.104.0", "8.8.8.8", "10.96.0.1", "127.0.0.1", "fd00::1", "no address",
	} {
		all = append(all, balancer(string(rune('a'+i)), address, 80))
	}
	v := viewOf(all...)
	routes, _ := v.routes(netip.Addr{})
	if want := []machine.Route{route("10.96.0.0/16", "192.168.104.21")}; !reflect.DeepEqual(routes, want) {
		t.Errorf("%v, want %v", routes, want)
	}
}

// rig is an Edge whose machines are this host.
type rig struct {
	*Edge
	client *fake.Clientset

	mu     sync.Mutex // guards what follows
	spec   cluster.Spec
	frozen bool
	routes []machine.Route
	warned []string
}

func newRig(t *testing.T, all ...objects.Object) *rig {
	t.Helper()
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
	}()
	r := &rig{client: fake.NewClientset(all...), spec: cluster.Default()}
	r.Edge = New(Config{
		Spec:    func() cluster.Spec { return locked(r, func() cluster.Spec { return r.spec }) },
		Members: func() []cluster.Node { return cluster.Nodes(cluster.Default(), nil) },
		State:   func(context.Context, string) machine.State { return machine.StateRunning },
		Frozen:  func(context.Context) bool { return locked(r, func() bool { return r.frozen }) },
		Client:  r.client, Gateways: gateways.NewSimpleClientset(),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if !strings.HasPrefix(address, "192.168.104.") && !strings.HasPrefix(address, "10.") {
				return nil, errors.New("outside of the cluster")
			}
			return (&net.Dialer{}).DialContext(ctx, network, server.Addr().String())
		},
		SetRoutes: func(routes []machine.Route) error {
			locked(r, func() int { r.routes = routes; return 0 })
			return nil
		},
		Warn: func(_ context.Context, service *corev1.Service, _, message string) error {
			locked(r, func() int { r.warned = append(r.warned, service.Name+": "+message); return 0 })
			return nil
		},
		File: filepath.Join(t.TempDir(), "services.json"), OwnAddresses: runtime.GOOS == "linux", Log: slog.New(slog.DiscardHandler),
	})
	runtest.Start(t, r.Run)
	return r
}

func locked[T any](r *rig, do func() T) T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return do()
}

func (r *rig) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s: %+v", what, r.Services())
		}
	}
}

// host returns where the host answers for the first port of a service.
func (r *rig) host(name string) string {
	for _, service := range r.Services().Services {
		if service.Name == name && len(service.Ports[0].Host) > 0 {
			return service.Ports[0].Host[0]
		}
	}
	return ""
}

func greets(address string) bool {
	conn, err := net.DialTimeout("tcp4", address, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	greeting := make([]byte, 5)
	n, _ := conn.Read(greeting)
	return string(greeting[:n]) == "hello"
}

func TestHostAnswersForLoadBalancerWhileItExists(t *testing.T) {
	port := runtest.FreePort(t)
	r := newRig(t, node("worker-1", "10.244.1.0/24", nil))
	services := r.client.CoreV1().Services("shop")
	runtest.AwaitWatch(t, r.client.Actions, "services")
	if _, err := services.Create(t.Context(), balancer("web", "192.168.104.240", int32(port)), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.await(t, "the service", func() bool { return r.host("web") != "" })
	if address := r.host("web"); address != netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String() || !greets(address) {
		t.Errorf("the host answers on %s: %t", address, greets(address))
	}
	if routes := locked(r, func() []machine.Route { return r.routes }); len(routes) != 3 {
		t.Errorf("routes %v", routes)
	}
	address := r.host("web")
	if err := services.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.await(t, "its end", func() bool { return !greets(address) })
}

func TestTakenPortOfLoadBalancerIsReportedOnce(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := int32(taken.Addr().(*net.TCPAddr).Port)
	r := newRig(t, node("worker-1", "10.244.1.0/24", nil), balancer("web", "192.168.104.240", port))
	r.await(t, "the service", func() bool { return r.host("web") != "" })
	for range 3 {
		if err := r.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	warned := locked(r, func() []string { return r.warned })
	if len(warned) != 1 || !strings.Contains(warned[0], "is in use; the host answers on 127.0.0.1:") || !greets(r.host("web")) {
		t.Errorf("warnings %q; answers on %s", warned, r.host("web"))
	}
	if problems := r.Problems(); len(problems) != 1 || !strings.HasPrefix(problems[0], "Service shop/web: port ") {
		t.Errorf("problems %q", problems)
	}
}

func TestPortsOfTheUserAreOpenedAndClosed(t *testing.T) {
	r := newRig(t, node("worker-1", "10.244.1.0/24", nil))
	port := runtest.FreePort(t)
	p := cluster.Port{Address: netip.MustParseAddr("127.0.0.1"), Host: port, Protocol: "tcp", Kind: cluster.PortNode, Target: "30080"}
	set := func(ports ...string) {
		t.Helper()
		locked(r, func() int { r.spec.Ports = ports; return 0 })
		if err := r.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.await(t, "the node", func() bool { return len(locked(r, func() []machine.Route { return r.routes })) > 0 })
	set(p.String())
	if all := r.Services().Ports; len(all) != 1 || all[0].Host == "" || !greets(all[0].Host) {
		t.Errorf("%+v", all)
	}
	set()
	if all := r.Services().Ports; len(all) != 0 || greets(netip.AddrPortFrom(p.Address, port).String()) {
		t.Errorf("%+v", all)
	}
	taken, err := net.Listen("tcp4", netip.AddrPortFrom(p.Address, port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	set(p.String())
	if problems := r.Problems(); len(problems) != 1 || !strings.Contains(problems[0], "is not open: port ") {
		t.Errorf("%q", problems)
	}
}

func TestEverythingStaysDuringAPause(t *testing.T) {
	port := runtest.FreePort(t)
	r := newRig(t, node("worker-1", "10.244.1.0/24", nil), balancer("web", "192.168.104.240", int32(port)))
	r.await(t, "the service", func() bool { return r.host("web") != "" })
	address := r.host("web")
	locked(r, func() int { r.frozen = true; return 0 })
	if err := r.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.client.CoreV1().Services("shop").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if !greets(address) {
		t.Error("the host stopped answering during the pause")
	}
	locked(r, func() int { r.frozen = false; return 0 })
	r.Wake()
	r.await(t, "the end of the service", func() bool { return !greets(address) })
}
