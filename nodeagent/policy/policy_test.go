package policy

import (
	"net"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/kube-network-policies/pkg/network"
)

func TestEngineAllowsOnlyWhatAPolicyNames(t *testing.T) {
	api := fake.NewSimpleClientset(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		pod("server", "10.244.1.2", map[string]string{"app": "server"}),
		pod("friend", "10.244.1.3", map[string]string{"app": "friend"}),
		pod("stranger", "10.244.1.4", nil),
		&networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "friends"},
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "server"}},
				PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
				Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{
					{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "friend"}}},
				}}},
			},
		},
	)
	factory := informers.NewSharedInformerFactory(api, 0)
	engine, err := Policy{NodeName: "worker-1", Informers: factory}.Engine()
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	for deadline := time.Now().Add(time.Minute); !engine.engine.Ready() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	for _, test := range []struct {
		name, from, to string
		want           bool
	}{
		{"named", "10.244.1.3", "10.244.1.2", true},
		{"not named", "10.244.1.4", "10.244.1.2", false},
		{"from outside the cluster", "192.168.104.2", "10.244.1.2", false},
		{"to a pod without policy", "10.244.1.4", "10.244.1.3", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			packet := &network.Packet{
				Family: corev1.IPv4Protocol, Proto: corev1.ProtocolTCP,
				SrcIP: net.ParseIP(test.from), DstIP: net.ParseIP(test.to), SrcPort: 40000, DstPort: 80,
			}
			got, err := engine.engine.EvaluatePacket(t.Context(), packet)
			if err != nil || got != test.want {
				t.Errorf("allowed: %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func pod(name, address string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: labels},
		Spec:       corev1.PodSpec{NodeName: "worker-1"},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		},
	}
}
