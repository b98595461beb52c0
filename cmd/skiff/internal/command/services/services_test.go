package services

import (
	"slices"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestRowsShowWhereTheHostAnswers(t *testing.T) {
	all := daemonapi.Services{
		Services: []daemonapi.Service{
			{Namespace: "shop", Name: "web", Type: "LoadBalancer", External: []string{"192.168.104.240"}, Ready: true, Ports: []daemonapi.ServicePort{
				{Protocol: "TCP", Port: 80, Host: []string{"127.0.0.1:8080", "127.80.1.2:80"}, Problem: "port 80 on 127.0.0.1 is in use"},
			}},
			{Namespace: "default", Name: "new", Type: "LoadBalancer", Message: "it has no address yet", Ports: []daemonapi.ServicePort{{Protocol: "UDP", Port: 53}}},
		},
		Names: []daemonapi.WebName{{Namespace: "shop", Name: "web"}, {Namespace: "default", Name: "new"}},
		Ingresses: []daemonapi.Ingress{
			{Namespace: "shop", Name: "site", URLs: []string{"http://shop.localhost:7080", "https://shop.example.com:7443"}, Message: "add it to the host's names"},
			{Namespace: "default", Name: "empty"},
		},
		HTTPRoutes: []daemonapi.Ingress{{Namespace: "shop", Name: "route", URLs: []string{"http://route.localhost:7080"}}},
		Ports: []daemonapi.Port{
			{Port: "8080:svc/web:80", Protocol: "TCP", Target: "svc/web:80", Host: "127.0.0.1:8080"},
			{Port: "0.0.0.0:53:svc/dns:53/udp", Protocol: "UDP", Target: "svc/dns:53/udp", Problem: "UDP port 53 on 0.0.0.0 is in use"},
		},
	}
	want := [][]string{
		{"NAMESPACE", "SERVICE", "TYPE", "EXTERNAL-IP", "PORT", "ON THIS HOST", "MESSAGE"},
		{"shop", "web", "LoadBalancer", "192.168.104.240", "80/TCP", "127.0.0.1:8080, 127.80.1.2:80", "port 80 on 127.0.0.1 is in use"},
		{"default", "new", "LoadBalancer", "-", "53/UDP", "-", "it has no address yet; no endpoint is ready"},
		{"shop", "site", "Ingress", "-", "HTTP", "http://shop.localhost:7080, https://shop.example.com:7443", "add it to the host's names"},
		{"default", "empty", "Ingress", "-", "HTTP", "-", ""},
		{"shop", "route", "HTTPRoute", "-", "HTTP", "http://route.localhost:7080", ""},
		{"-", "svc/web:80", "Port", "-", "TCP", "127.0.0.1:8080", ""},
		{"-", "svc/dns:53/udp", "Port", "-", "UDP", "-", "UDP port 53 on 0.0.0.0 is in use"},
	}
	got := rows(all)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !slices.Equal(got[i], want[i]) {
			t.Fatalf("row %d of %q, want %q", i, got, want)
		}
	}
	if shop := within(all, "shop"); len(shop.Services) != 1 || len(shop.Ports) != 2 || len(shop.Names) != 1 || len(shop.Ingresses) != 1 || len(shop.HTTPRoutes) != 1 {
		t.Errorf("in namespace shop: %+v", shop)
	}
}
