package route

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

func TestLinksNameServicesAndHostsOfIngresses(t *testing.T) {
	shop := ingress("shop", hostRule("Shop.localhost", onPath("/cart", prefix, "web"), onPath("/", prefix, "web")), hostRule("shop.localhost"), hostRule("*.example.com"))
	shop.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{"*.example.com"}, SecretName: "wild"}, {Hosts: []string{"shop.localhost"}}}
	rest := ingress("zz-rest", hostRule("", onPath("/", prefix, "web")))
	foreign := ingress("foreign", hostRule("other.localhost"))
	foreign.Spec.IngressClassName = nil
	fallback := ingress("zz-fallback")
	fallback.Spec.DefaultBackend = ptr.To(backend("web"))
	table := New("dev", Objects{
		Services: []*corev1.Service{
			{ObjectMeta: object("shop", "web"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}},
			{ObjectMeta: object("shop", "dns"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}}}},
		},
		Ingresses: []*networkingv1.Ingress{shop, rest, foreign, fallback}, Classes: []*networkingv1.IngressClass{skiffClass()},
	})
	if got, want := table.ServiceLinks(), []Link{{Of: types.NamespacedName{Namespace: "shop", Name: "web"}, Host: "web.shop.dev.localhost"}}; !slices.Equal(got, want) {
		t.Errorf("services: got %v, want %v", got, want)
	}
	of := func(name string) types.NamespacedName { return types.NamespacedName{Namespace: "default", Name: name} }
	want := []Link{
		{Of: of("shop"), Host: "shop.localhost", Path: "/cart"}, {Of: of("shop"), Host: "*.example.com", Secure: true},
		{Of: of("zz-fallback"), Host: "dev.localhost"}, {Of: of("zz-rest"), Host: "dev.localhost"},
	}
	if got := table.IngressLinks(); !slices.Equal(got, want) {
		t.Errorf("ingresses: got %v, want %v", got, want)
	}
}
