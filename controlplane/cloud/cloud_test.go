package cloud

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	cloudproviderapi "k8s.io/cloud-provider/api"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
)

func testService(change func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "u1"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
			Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080}, {Protocol: corev1.ProtocolUDP, Port: 53}},
		},
	}
	change(s)
	return s
}

func testNode(name string, ready corev1.ConditionStatus, change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	if change != nil {
		change(n)
	}
	return n
}

func TestTheDesiredLoadBalancerIsWhatTheServiceAsksFor(t *testing.T) {
	nodes := []*corev1.Node{testNode("worker-2", corev1.ConditionTrue, nil), testNode("worker-1", corev1.ConditionTrue, nil)}
	service := testService(func(s *corev1.Service) {
		s.Spec.ExternalTrafficPolicy, s.Spec.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, 31000
		s.Spec.LoadBalancerSourceRanges = []string{"10.0.0.0/8", "192.168.0.0/16"}
		s.Spec.LoadBalancerIP = "192.168.104.200"
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.168.104.201"}}
	})
	got, err := desiredBalancer(service, nodes)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	if got.Namespace != "default" || got.Name != "web" || got.UID != "u1" || !slices.Equal(got.Nodes, []string{"worker-1", "worker-2"}) {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(got.Ports, []cloudapi.Port{{Name: "http", Protocol: "TCP", Port: 80, NodePort: 30080}, {Protocol: "UDP", Port: 53}}) {
		t.Errorf("ports %+v", got.Ports)
	}
	if !got.Local || got.HealthCheckPort != 31000 || len(got.SourceRanges) != 2 {
		t.Errorf("%+v", got)
	}
	if got.Requested != netip.MustParseAddr("192.168.104.200") || got.Previous != netip.MustParseAddr("192.168.104.201") {
		t.Errorf("requested %s, previous %s", got.Requested, got.Previous)
	}
	for name, change := range map[string]func(*corev1.Service){
		"address": func(s *corev1.Service) { s.Spec.LoadBalancerIP = "fd00::1" },
		"ranges":  func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"everyone"} },
		"family":  func(s *corev1.Service) { s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol} },
	} {
		if got, err := desiredBalancer(testService(change), nil); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	all := func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"0.0.0.0/0"} }
	if got, err := desiredBalancer(testService(all), nil); err != nil || len(got.SourceRanges) > 0 {
		t.Errorf("all clients: %v, %v", got.SourceRanges, err)
	}
}

func TestTheLifecycleIsCheckedWhenReadinessChanges(t *testing.T) {
	ready, lost := testNode("worker-1", corev1.ConditionTrue, nil), testNode("worker-1", corev1.ConditionUnknown, nil)
	for name, test := range map[string]struct {
		old, current any
		want         bool
	}{
		"appears, ready":     {nil, ready, false},
		"appears, not ready": {nil, lost, true},
		"is lost":            {ready, lost, true},
		"returns":            {lost, ready, true},
		"stays":              {ready, ready, false},
	} {
		l := &lifecycle{changed: make(chan struct{}, 1)}
		l.notice(test.old, test.current)
		l.notice(test.old, test.current)
		if got := len(l.changed) == 1; got != test.want {
			t.Errorf("%s: check is due: %v, want %v", name, got, test.want)
		}
	}
}

func TestNodesOfEarlierReleasesAreAdopted(t *testing.T) {
	taint := func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: cloudproviderapi.TaintExternalCloudProvider}}
	}
	identified := func(n *corev1.Node) { n.Spec.ProviderID = "skiff://dev/worker-3" }
	nodes := []*corev1.Node{
		testNode("worker-1", corev1.ConditionTrue, nil), testNode("worker-2", corev1.ConditionTrue, taint),
		testNode("worker-3", corev1.ConditionTrue, identified), testNode("simulated", corev1.ConditionTrue, nil),
	}
	client := fake.NewClientset()
	m := &controllerManager{client: client, informers: informers.NewSharedInformerFactory(client, 0)}
	for _, n := range nodes {
		if err := client.Tracker().Add(n); err != nil {
			t.Fatal(err)
		}
		if err := m.informers.Core().V1().Nodes().Informer().GetStore().Add(n); err != nil {
			t.Fatal(err)
		}
	}
	m.adopt(t.Context())
	for _, n := range nodes {
		now, err := client.CoreV1().Nodes().Get(t.Context(), n.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := uninitialized(now), n.Name == "worker-1" || n.Name == "worker-2"; got != want {
			t.Errorf("%s waits for the cloud: %v, want %v", n.Name, got, want)
		}
	}
}

func TestOnlyServicesWithLoadBalancersAreRetained(t *testing.T) {
	client := fake.NewClientset()
	m := &controllerManager{client: client, informers: informers.NewSharedInformerFactory(client, 0)}
	store := m.informers.Core().V1().Services().Informer().GetStore()
	for uid, change := range map[string]func(*corev1.Service){
		"u1": func(*corev1.Service) {},
		"u2": func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeClusterIP },
		"u3": func(s *corev1.Service) {
			s.Spec.Type, s.Finalizers = corev1.ServiceTypeClusterIP, []string{"service.kubernetes.io/load-balancer-cleanup"}
		},
	} {
		s := testService(change)
		s.Name, s.UID = uid, types.UID(uid)
		if err := store.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	got, err := m.balanced()
	slices.Sort(got)
	if err != nil || !slices.Equal(got, []string{"u1", "u3"}) {
		t.Errorf("retained %v, %v", got, err)
	}
}
