package forward

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/edge/catalog/catalogtest"
)

var (
	web   = types.NamespacedName{Namespace: "shop", Name: "web"}
	nodes = []Node{{Name: "worker-1", Address: netip.MustParseAddr("192.168.104.21")}, {Name: "worker-2", Address: netip.MustParseAddr("192.168.104.22")}}
)

// balancer is a load balancer with an address, whose ports are 80 and, over UDP, 53.
func balancer(change func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: web.Namespace, Name: web.Name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.80",
			Ports: []corev1.ServicePort{
				{Name: "http", Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP},
				{Name: "dns", Port: 53, NodePort: 30053, Protocol: corev1.ProtocolUDP},
				{Name: "sctp", Port: 9, NodePort: 30009, Protocol: corev1.ProtocolSCTP},
			},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.168.104.240"}}}},
	}
	if change != nil {
		change(s)
	}
	return s
}

// endpointsOn is a slice with one endpoint on each node.
func endpointsOn(ready map[string]bool, serving bool) *discoveryv1.EndpointSlice {
	port, name := int32(8080), "http"
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: web.Namespace, Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: web.Name}},
		Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}
	for i, n := range []string{"worker-1", "worker-2", "worker-3"} {
		if is, ok := ready[n]; ok {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{[]string{"10.244.1.5", "10.244.2.5", "10.244.3.5"}[i]}, NodeName: &n,
				Conditions: discoveryv1.EndpointConditions{Ready: &is, Serving: &serving},
			})
		}
	}
	return s
}

func at(text ...string) []netip.AddrPort {
	var all []netip.AddrPort
	for _, t := range text {
		all = append(all, netip.MustParseAddrPort(t))
	}
	return all
}

func find(all []Listener, id string) (Listener, bool) {
	i := slices.IndexFunc(all, func(l Listener) bool { return l.ID == id })
	if i < 0 {
		return Listener{}, false
	}
	return all[i], true
}

func TestLoadBalancerAnswersOnLoopbackAndOnItsOwnAddress(t *testing.T) {
	own := netip.MustParseAddr("127.80.1.2")
	in := Input{Snapshot: catalogtest.Snapshot(balancer(nil)), Nodes: nodes, Own: map[types.NamespacedName]netip.Addr{web: own}}
	all := Plan(in)
	for id, want := range map[string]Listener{
		"service shop/web 80/tcp": {Protocol: "tcp", Address: loopback, Port: 80, Target: Target{Addresses: at("192.168.104.21:30080", "192.168.104.22:30080"), Spread: true}},
		"address shop/web 80/tcp": {Protocol: "tcp", Address: own, Port: 80, Target: Target{Addresses: at("192.168.104.21:30080", "192.168.104.22:30080"), Spread: true}},
		"service shop/web 53/udp": {Protocol: "udp", Address: loopback, Port: 53, Target: Target{Addresses: at("192.168.104.21:30053", "192.168.104.22:30053"), Spread: true}},
		"address shop/web 53/udp": {Protocol: "udp", Address: own, Port: 53, Target: Target{Addresses: at("192.168.104.21:30053", "192.168.104.22:30053"), Spread: true}},
	} {
		want.ID = id
		if got, ok := find(all, id); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", id, got, want)
		}
	}
	if len(all) != 4 {
		t.Errorf("%d listeners, want 4: %+v", len(all), all)
	}
}

func TestOnlyLoadBalancersWithAnAddressAreForwarded(t *testing.T) {
	for name, change := range map[string]func(*corev1.Service){
		"a ClusterIP": func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeClusterIP },
		"a NodePort":  func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort },
		"pending":     func(s *corev1.Service) { s.Status.LoadBalancer.Ingress = nil },
		"with a name only": func(s *corev1.Service) {
			s.Status.LoadBalancer.Ingress[0] = corev1.LoadBalancerIngress{Hostname: "lb.example.com"}
		},
		"being deleted": func(s *corev1.Service) { s.DeletionTimestamp = &metav1.Time{} },
		"for others":    func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"10.0.0.0/8"} },
		"for others, noted": func(s *corev1.Service) {
			s.Annotations = map[string]string{corev1.AnnotationLoadBalancerSourceRangesKey: "10.0.0.0/8, 192.0.2.0/24"}
		},
		"for others, broken": func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"everybody"} },
	} {
		if all := Plan(Input{Snapshot: catalogtest.Snapshot(balancer(change)), Nodes: nodes}); len(all) > 0 {
			t.Errorf("%s: %+v", name, all)
		}
	}
	for name, ranges := range map[string][]string{"loopback": {"127.0.0.0/8"}, "the host": {"10.0.0.0/8", "192.168.104.3/32"}, "everybody": {"0.0.0.0/0"}} {
		service := balancer(func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = ranges })
		in := Input{Snapshot: catalogtest.Snapshot(service), Nodes: nodes, Host: []netip.Addr{netip.MustParseAddr("192.168.104.3")}}
		if len(Plan(in)) != 2 {
			t.Errorf("for %s: not forwarded", name)
		}
	}
}

func TestTrafficGoesWhereThePoliciesSay(t *testing.T) {
	local := func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal }
	both := Target{Addresses: at("192.168.104.21:30080", "192.168.104.22:30080"), Spread: true}
	for _, c := range []struct {
		name   string
		change func(*corev1.Service)
		slice  *discoveryv1.EndpointSlice
		want   Target
	}{
		{"any node", nil, endpointsOn(nil, false), both},
		{"nodes with endpoints", local, endpointsOn(map[string]bool{"worker-2": true}, true), Target{Addresses: at("192.168.104.22:30080"), Spread: true}},
		{"all nodes with endpoints", local, endpointsOn(map[string]bool{"worker-1": true, "worker-2": true}, true), both},
		{"ready endpoints first", local, endpointsOn(map[string]bool{"worker-1": false, "worker-2": true}, true), Target{Addresses: at("192.168.104.22:30080"), Spread: true}},
		{"endpoints that terminate", local, endpointsOn(map[string]bool{"worker-1": false}, true), Target{Addresses: at("192.168.104.21:30080"), Spread: true}},
		{"no endpoints", local, endpointsOn(map[string]bool{"worker-1": false}, false), Target{Spread: true}},
		{"endpoints on a node that is not Ready", local, endpointsOn(map[string]bool{"worker-3": true}, true), Target{Spread: true}},
		{
			"one node for each client", func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP }, endpointsOn(nil, false),
			Target{Addresses: both.Addresses},
		},
		{
			"the address, without a NodePort", func(s *corev1.Service) { s.Spec.Ports[0].NodePort = 0 }, endpointsOn(nil, false),
			Target{Addresses: at("192.168.104.240:80")},
		},
	} {
		all := Plan(Input{Snapshot: catalogtest.Snapshot(balancer(c.change), c.slice), Nodes: nodes})
		if got, _ := find(all, "service shop/web 80/tcp"); !reflect.DeepEqual(got.Target, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got.Target, c.want)
		}
	}
}

func TestNodesWhoseMachinesAreAboutToEndGetNoConnections(t *testing.T) {
	local := func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal }
	leaving := slices.Clone(nodes)
	leaving[0].Leaving = true
	all := slices.Clone(leaving)
	all[1].Leaving = true
	first, second := "192.168.104.21:30080", "192.168.104.22:30080"
	for _, c := range []struct {
		name   string
		nodes  []Node
		change func(*corev1.Service)
		ready  map[string]bool
		want   []string
	}{
		{"one is leaving", leaving, nil, nil, []string{second}},
		{"all are leaving", all, nil, nil, []string{first, second}},
		{"endpoints on both", leaving, local, map[string]bool{"worker-1": true, "worker-2": true}, []string{second}},
		{"endpoints only on the one that is leaving", leaving, local, map[string]bool{"worker-1": true}, []string{first}},
	} {
		in := Input{Snapshot: catalogtest.Snapshot(balancer(c.change), endpointsOn(c.ready, true)), Nodes: c.nodes}
		if got, _ := find(Plan(in), "service shop/web 80/tcp"); !slices.Equal(got.Target.Addresses, at(c.want...)) {
			t.Errorf("%s: %v, want %v", c.name, got.Target.Addresses, c.want)
		}
	}
	for target, want := range map[string][]string{"30080:node": {second}, "80:node/worker-1:30080": {first}} {
		port, err := cluster.ParsePort(target, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := portTarget(Input{Nodes: leaving}, port); !slices.Equal(got.Addresses, at(want...)) {
			t.Errorf("%s: %v, want %v", target, got.Addresses, want)
		}
	}
}

func TestPortsLeadWhereTheUserSays(t *testing.T) {
	headless := balancer(func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ClusterIP, s.Status = corev1.ServiceTypeClusterIP, corev1.ClusterIPNone, corev1.ServiceStatus{}
	})
	for text, c := range map[string]struct {
		service *corev1.Service
		want    Target
	}{
		"8080:svc/shop/web:80":      {balancer(nil), Target{Addresses: at("10.96.0.80:80")}},
		"8080:svc/shop/web:http":    {balancer(nil), Target{Addresses: at("10.96.0.80:80")}},
		"8080:svc/shop/web:dns/udp": {balancer(nil), Target{Addresses: at("10.96.0.80:53")}},
		"8080:svc/shop/web:dns":     {balancer(nil), Target{}},
		"8080:svc/shop/web:81":      {balancer(nil), Target{}},
		"8080:svc/web:80":           {balancer(nil), Target{}},
		"8081:svc/shop/web:http":    {headless, Target{Spread: true, Addresses: at("10.244.1.5:8080", "10.244.2.5:8080")}},
		"5432:pod/shop/db-0":        {balancer(nil), Target{Pod: types.NamespacedName{Namespace: "shop", Name: "db-0"}, PodPort: 5432}},
		"30080:node":                {balancer(nil), Target{Spread: true, Addresses: at("192.168.104.21:30080", "192.168.104.22:30080")}},
		"80:node/worker-2:30080":    {balancer(nil), Target{Spread: true, Addresses: at("192.168.104.22:30080")}},
		"80:node/worker-9:30080":    {balancer(nil), Target{Spread: true}},
	} {
		p, err := cluster.ParsePort(text, "")
		if err != nil {
			t.Fatal(err)
		}
		slice := endpointsOn(map[string]bool{"worker-1": true, "worker-2": true}, true)
		got := Plan(Input{Snapshot: catalogtest.Snapshot(c.service, slice), Nodes: nodes, Ports: []cluster.Port{p}})[0]
		if !got.Fixed || got.Port != p.Host || !reflect.DeepEqual(got.Target, c.want) {
			t.Errorf("%s: %+v, want %+v", text, got, c.want)
		}
	}
}

func TestNodePortsAreOpenedOnlyIfAsked(t *testing.T) {
	service := balancer(func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort })
	in := Input{Snapshot: catalogtest.Snapshot(service), Nodes: nodes}
	if all := Plan(in); len(all) > 0 {
		t.Errorf("not asked: %+v", all)
	}
	in.NodePorts = true
	all := Plan(in)
	if got, ok := find(all, "nodeport shop/web 30080/tcp"); !ok || got.Port != 30080 || !got.Fixed || got.Address != loopback || len(all) != 2 {
		t.Errorf("asked: %+v", all)
	}
}

func TestServicesAreReachedOverIPv4WhicheverFamilyIsFirst(t *testing.T) {
	both := func(s *corev1.Service) {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
		s.Spec.ClusterIP, s.Spec.ClusterIPs = "fd73:6b69:6666:200::80", []string{"fd73:6b69:6666:200::80", "10.96.0.80"}
	}
	port, err := cluster.ParsePort("28080:svc/shop/web:80", "default")
	if err != nil {
		t.Fatal(err)
	}
	all := Plan(Input{Snapshot: catalogtest.Snapshot(balancer(both)), Nodes: nodes, Ports: []cluster.Port{port}})
	if got, _ := find(all, PortID(port)); !reflect.DeepEqual(got.Target.Addresses, at("10.96.0.80:80")) {
		t.Errorf("target %+v", got.Target)
	}
	alone := balancer(func(s *corev1.Service) {
		s.Spec.Type, s.Status = corev1.ServiceTypeNodePort, corev1.ServiceStatus{}
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol}
	})
	if all := Plan(Input{Snapshot: catalogtest.Snapshot(alone), Nodes: nodes, NodePorts: true}); len(all) > 0 {
		t.Errorf("the host listens for a service without IPv4: %+v", all)
	}
}

func TestNothingIsPlannedBeyondLoopbackUnlessAsked(t *testing.T) {
	p, err := cluster.ParsePort("0.0.0.0:8080:svc/shop/web:80", "")
	if err != nil {
		t.Fatal(err)
	}
	in := Input{
		Snapshot: catalogtest.Snapshot(balancer(nil)), Nodes: nodes, NodePorts: true, Ports: []cluster.Port{p},
		Own: ownAddresses("demo", []types.NamespacedName{web}, nil),
	}
	for _, l := range Plan(in) {
		if !l.Address.IsLoopback() && l.ID != PortID(p) {
			t.Errorf("%+v", l)
		}
	}
}

func TestOwnAddressesStayAndDiffer(t *testing.T) {
	var names []types.NamespacedName
	for _, name := range []string{"a", "b", "c", "d"} {
		names = append(names, types.NamespacedName{Namespace: "default", Name: name})
	}
	first := ownAddresses("demo", names, nil)
	again := ownAddresses("demo", []types.NamespacedName{names[2], names[0], names[3], names[1]}, nil)
	if !reflect.DeepEqual(first, again) {
		t.Errorf("%v, then %v", first, again)
	}
	seen := map[netip.Addr]bool{}
	for name, address := range first {
		if seen[address] || !ownRange.Contains(address) || !address.IsLoopback() {
			t.Errorf("%s has %s", name, address)
		}
		seen[address] = true
	}
	if other := ownAddresses("other", names[:1], nil); other[names[0]] == first[names[0]] {
		t.Error("the same service of two clusters has one address")
	}
	// A service keeps its address even if another would get it by its name.
	had := map[types.NamespacedName]netip.Addr{names[1]: first[names[0]], names[2]: netip.MustParseAddr("192.0.2.1")}
	kept := ownAddresses("demo", names, had)
	if kept[names[1]] != first[names[0]] || kept[names[0]] == first[names[0]] || !ownRange.Contains(kept[names[2]]) {
		t.Errorf("%v", kept)
	}
}

func TestNextFreePortIsTried(t *testing.T) {
	for _, c := range []struct {
		wanted, remembered uint16
		fixed              bool
		first              []uint16
	}{
		{80, 0, false, []uint16{80, 8080, 8081}},
		{443, 0, false, []uint16{443, 8443}},
		{5432, 0, false, []uint16{5432, 5433, 5434}},
		{5432, 6000, false, []uint16{6000, 5432, 5433}},
		{5432, 5432, false, []uint16{5432, 5433}},
		{65535, 0, false, []uint16{65535, 0}},
		{80, 8080, true, []uint16{80}},
	} {
		got := candidates(c.wanted, c.remembered, c.fixed)
		if len(got) < len(c.first) || !slices.Equal(got[:len(c.first)], c.first) || len(got) > maxTries+2 {
			t.Errorf("%+v: %v", c, got)
		}
		if c.fixed != (len(got) == 1) || !c.fixed && got[len(got)-1] != 0 {
			t.Errorf("%+v ends with %v", c, got[len(got)-1])
		}
	}
}

func TestMemoryIsReadBackUnlessItIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "services.json")
	m, err := readMemory(path)
	if err != nil || len(m.Ports) > 0 {
		t.Fatalf("without a file: %+v, %v", m, err)
	}
	m.Ports["service a/b 80/tcp"] = choice{Port: 8080, Reason: "in use"}
	m.setOwn(map[types.NamespacedName]netip.Addr{web: netip.MustParseAddr("127.80.0.1")})
	if err := writeMemory(path, m); err != nil {
		t.Fatal(err)
	}
	again, err := readMemory(path)
	if err != nil || !again.equal(m) || again.own()[web] != netip.MustParseAddr("127.80.0.1") {
		t.Errorf("%+v, %v", again, err)
	}
}

func FuzzParseMemory(f *testing.F) {
	f.Add([]byte(`{"version":1,"ports":{"service a/b 80/tcp":{"port":8080}},"addresses":{"a/b":"127.80.0.1"}}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"ports":null}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		m, _ := parseMemory(content, memory{Version: memoryVersion, Ports: map[string]choice{}, Addresses: map[string]netip.Addr{}})
		if m.Version != memoryVersion || m.Ports == nil || m.Addresses == nil {
			t.Errorf("%+v", m)
		}
		ownAddresses("demo", []types.NamespacedName{web}, m.own())
	})
}
