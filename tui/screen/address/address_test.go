package address

import (
	"testing"

	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

var shop = daemonapi.Services{
	Services: []daemonapi.Service{
		{Namespace: "shop", Name: "web", Type: "LoadBalancer", Ports: []daemonapi.ServicePort{
			{Protocol: "TCP", Port: 80, Host: []string{"127.0.0.1:8080", "127.80.1.2:80"}, Problem: "port 80 is in use"},
		}},
		{Namespace: "shop", Name: "dns", Type: "LoadBalancer", Ports: []daemonapi.ServicePort{{Protocol: "UDP", Port: 53, Host: []string{"127.0.0.1:1053"}}}},
		{Namespace: "shop", Name: "new", Type: "LoadBalancer", Message: "it has no address yet", Ports: []daemonapi.ServicePort{{Protocol: "TCP", Port: 80}}},
	},
	Names: []daemonapi.WebName{{Namespace: "shop", Name: "web", URL: "http://web.shop.dev.localhost:7080"}},
	Ingresses: []daemonapi.Ingress{
		{Namespace: "shop", Name: "site", URLs: []string{"http://a.localhost", "http://b.localhost", "http://*.c.localhost"}},
	},
	// It has the name of the Service, whose addresses are others.
	HTTPRoutes: []daemonapi.Ingress{{Namespace: "shop", Name: "web", URLs: []string{"http://route.localhost"}}},
	Ports:      []daemonapi.Port{{Target: "svc/web:80", Protocol: "TCP", Host: "127.0.0.1:9000"}},
}

func TestCellsShowAddressesAndProblems(t *testing.T) {
	index := NewIndex(shop)
	for _, c := range []struct{ resource, name, hosts, urls, problems string }{
		{"services", "web", "127.0.0.1:8080, 127.80.1.2:80", "http://web.shop.dev.localhost:7080", "port 80 is in use"},
		{"services", "dns", "127.0.0.1:1053", "", ""},
		{"services", "new", "", "", "it has no address yet"},
		{"services", "unknown", "", "", ""},
		{"ingresses", "site", "", "http://a.localhost, http://b.localhost, http://*.c.localhost", ""},
		{"ingresses", "web", "", "", ""},
	} {
		all := index.Of(c.resource, "shop", c.name)
		if hosts, urls, problems := Hosts(all), URLs(all), Problems(all); hosts != c.hosts || urls != c.urls || problems != c.problems {
			t.Errorf("%s %s: got %q, %q, %q", c.resource, c.name, hosts, urls, problems)
		}
	}
}

func TestAConnectedHostReachesExternalAddresses(t *testing.T) {
	connected := daemonapi.Services{Tunnel: "skiff-1", Services: []daemonapi.Service{{
		Namespace: "shop", Name: "web", Type: "LoadBalancer", External: []string{"192.168.104.129"},
		Ports: []daemonapi.ServicePort{{Protocol: "TCP", Port: 80, Host: []string{"127.0.0.1:8080"}}},
	}}}
	if got, want := Hosts(List(connected)), "127.0.0.1:8080, 192.168.104.129:80"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	connected.Tunnel = ""
	if got := Hosts(List(connected)); got != "127.0.0.1:8080" {
		t.Errorf("without a tunnel: got %q", got)
	}
}

// ask returns the values that an action offers, or the one that it uses.
func ask(t *testing.T, action keys.Action, all []Address) []string {
	t.Helper()
	switch r := Act(action, "test", all)[0].(type) {
	case screen.Browse:
		return []string{r.URL}
	case screen.CopyText:
		return []string{r.Text}
	case screen.Fill:
		return r.Form.Fields[0].Choices
	case screen.Say:
		if !r.Bad {
			t.Errorf("said %q", r.Text)
		}
		return nil
	default:
		t.Fatalf("got %+v", r)
		return nil
	}
}

func TestActionsOfferTheAddresses(t *testing.T) {
	index := NewIndex(shop)
	for _, c := range []struct {
		resource, name string
		action         keys.Action
		want           int
		first          string
	}{
		{"services", "web", keys.Browse, 1, "http://web.shop.dev.localhost:7080"},
		{"services", "web", keys.CopyAddress, 3, "127.0.0.1:8080"},
		{"services", "dns", keys.Browse, 0, ""},
		{"services", "dns", keys.CopyAddress, 1, "127.0.0.1:1053"},
		{"services", "new", keys.CopyAddress, 0, ""},
		{"ingresses", "site", keys.Browse, 2, "http://a.localhost"},
		{"ingresses", "site", keys.CopyAddress, 3, "http://a.localhost"},
	} {
		got := ask(t, c.action, index.Of(c.resource, "shop", c.name))
		if len(got) != c.want || c.want > 0 && got[0] != c.first {
			t.Errorf("%s of %s %s: got %q", c.action, c.resource, c.name, got)
		}
	}
	if Act(keys.Delete, "test", nil) != nil {
		t.Error("other actions are answered")
	}
}
