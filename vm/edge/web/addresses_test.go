package web

import (
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

func TestIngressesAreListedWithTheirURLs(t *testing.T) {
	shop, old := types.NamespacedName{Namespace: "shop", Name: "web"}, types.NamespacedName{Namespace: "shop", Name: "old"}
	links := []route.Link{
		{Of: shop, Host: "shop.localhost", Path: "/a b"}, {Of: shop, Host: "shop.example.com", Secure: true},
		{Of: old, Host: "old.dev.localhost"},
	}
	for _, c := range []struct {
		ports Ports
		want  []daemonapi.Ingress
	}{
		{Ports{HTTP: 7080, HTTPS: 7443}, []daemonapi.Ingress{
			{Namespace: "shop", Name: "web", URLs: []string{"http://shop.localhost:7080/a%20b", "https://shop.example.com:7443"}, Message: "shop.example.com must resolve to 127.0.0.1 on this host"},
			{Namespace: "shop", Name: "old", URLs: []string{"http://old.dev.localhost:7080"}},
		}},
		{Ports{HTTP: 80, HTTPS: 443}, []daemonapi.Ingress{
			{Namespace: "shop", Name: "web", URLs: []string{"http://shop.localhost/a%20b", "https://shop.example.com"}, Message: "shop.example.com must resolve to 127.0.0.1 on this host"},
			{Namespace: "shop", Name: "old", URLs: []string{"http://old.dev.localhost"}},
		}},
	} {
		if got := c.ports.ingresses(links); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: got %+v, want %+v", c.ports, got, c.want)
		}
	}
}
