package kube

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

func TestAddressesOfAnIngressAreReplacedAndRemoved(t *testing.T) {
	name := types.NamespacedName{Namespace: "default", Name: "web"}
	set := fake.NewClientset(&networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}})
	c := &Client{set: set}
	for _, want := range [][]networkingv1.IngressLoadBalancerIngress{{{IP: "192.0.2.1"}, {Hostname: "dev.localhost"}}, {{IP: "192.0.2.2"}}, nil} {
		if err := c.SetIngressAddresses(t.Context(), name, want); err != nil {
			t.Fatal(err)
		}
		got, err := set.NetworkingV1().Ingresses(name.Namespace).Get(t.Context(), name.Name, metav1.GetOptions{})
		if err != nil || len(got.Status.LoadBalancer.Ingress) != len(want) {
			t.Errorf("%v, %v", got.Status.LoadBalancer, err)
		}
	}
	name.Name = "deleted"
	if err := c.SetIngressAddresses(t.Context(), name, nil); err != nil {
		t.Errorf("an ingress that does not exist: %v", err)
	}
}

func TestATLSSecretIsRead(t *testing.T) {
	c := &Client{set: fake.NewClientset(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "tls"},
		Data:       map[string][]byte{"tls.crt": []byte("certificate"), "tls.key": []byte("key")},
	})}
	certificate, key, err := c.TLSSecret(t.Context(), types.NamespacedName{Namespace: "default", Name: "tls"})
	if err != nil || string(certificate) != "certificate" || string(key) != "key" {
		t.Errorf("%q, %q, %v", certificate, key, err)
	}
	if _, _, err := c.TLSSecret(t.Context(), types.NamespacedName{Namespace: "default", Name: "missing"}); err == nil {
		t.Error("no error for a missing secret")
	}
}
