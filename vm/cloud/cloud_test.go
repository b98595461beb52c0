package cloud

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
)

// machines are Instances with one control plane.
type machines struct{}

const controlPlane = "control-plane-1"

var controlPlaneAddress = netip.MustParseAddr("192.168.104.11")

func (machines) Instance(_ context.Context, node string) (cloudapi.Instance, error) {
	if node != controlPlane {
		return cloudapi.Instance{}, fmt.Errorf("machine %q: %w", node, ErrNotFound)
	}
	return cloudapi.Instance{Name: node, ProviderID: cloudapi.ProviderID("dev", node), Address: controlPlaneAddress}, nil
}

func (machines) Admits(name string, address netip.Addr) bool {
	return name == controlPlane && address == controlPlaneAddress
}

func testHandler(t testing.TB) (http.Handler, *Balancers) {
	t.Helper()
	b, err := OpenBalancers(filepath.Join(t.TempDir(), "f"), smallPool, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return Handler(Config{Instances: machines{}, LoadBalancers: b, Log: quiet}), b
}

// ask sends a request as a client whose certificate has the name.
func ask(handler http.Handler, name, from, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = from
	if name != "" {
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: name}}}}
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

const fromControlPlane = "192.168.104.11:40000"

func asControlPlane(handler http.Handler, method, path, body string) *httptest.ResponseRecorder {
	return ask(handler, controlPlane, fromControlPlane, method, path, body)
}

func encoded(t testing.TB, value any) string {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestOnlyControlPlanesAtTheirOwnAddressAreAdmitted(t *testing.T) {
	handler, _ := testHandler(t)
	for name, test := range map[string]struct {
		name, from string
		want       int
	}{
		"control plane":       {controlPlane, fromControlPlane, http.StatusOK},
		"from elsewhere":      {controlPlane, "192.168.104.21:40000", http.StatusForbidden},
		"worker":              {"worker-1", "192.168.104.21:40000", http.StatusForbidden},
		"worker, its address": {"worker-1", fromControlPlane, http.StatusForbidden},
		"no certificate":      {"", fromControlPlane, http.StatusForbidden},
		"no address":          {controlPlane, "@", http.StatusForbidden},
	} {
		if got := ask(handler, test.name, test.from, http.MethodGet, cloudapi.PathInstances+controlPlane, ""); got.Code != test.want {
			t.Errorf("%s: %d, want %d", name, got.Code, test.want)
		}
	}
}

func TestAnswersHaveTheStatusOfTheirReason(t *testing.T) {
	handler, _ := testHandler(t)
	put := func(uid string, l cloudapi.LoadBalancer) *httptest.ResponseRecorder {
		return asControlPlane(handler, http.MethodPut, cloudapi.PathLoadBalancers+uid, encoded(t, l))
	}
	bad := balancer("a")
	bad.Ports = nil
	large := balancer("a")
	large.Nodes = make([]string, 500)
	for name, test := range map[string]struct {
		answer *httptest.ResponseRecorder
		want   int
		text   string
	}{
		"instance":         {asControlPlane(handler, http.MethodGet, cloudapi.PathInstances+controlPlane, ""), 200, "skiff://dev/control-plane-1"},
		"unknown instance": {asControlPlane(handler, http.MethodGet, cloudapi.PathInstances+"worker-7", ""), 404, "worker-7"},
		"unknown balancer": {asControlPlane(handler, http.MethodGet, cloudapi.PathLoadBalancers+"u7", ""), 404, "u7"},
		"ensure":           {put("a", requesting("a", "192.168.104.252")), 200, "192.168.104.252"},
		"taken":            {put("b", requesting("b", "192.168.104.252")), 409, "in use by service default/svc-a"},
		"unusable":         {put("b", requesting("b", "8.8.8.8")), 422, "192.168.104.252 to 192.168.104.254"},
		"no ports":         {put("a", bad), 400, "0 ports"},
		"many nodes":       {put("a", large), 400, "500 nodes"},
		"another UID":      {put("b", balancer("a")), 400, "another UID"},
		"bad UID":          {put("..", balancer("..")), 307, ""},
		"unknown key":      {asControlPlane(handler, http.MethodPut, cloudapi.PathLoadBalancers+"a", `{"uid":"a","extra":1}`), 400, "extra"},
		"two documents":    {asControlPlane(handler, http.MethodPut, cloudapi.PathLoadBalancers+"a", encoded(t, balancer("a"))+"{}"), 400, "after the document"},
		"too large":        {asControlPlane(handler, http.MethodPut, cloudapi.PathLoadBalancers+"a", strings.Repeat(" ", cloudapi.MaxRequest)+"{}"), 400, "too large"},
		"unknown path":     {asControlPlane(handler, http.MethodGet, "/v1/secrets", ""), 404, ""},
		"unknown method":   {asControlPlane(handler, http.MethodPost, cloudapi.PathInstances+controlPlane, ""), 405, ""},
		"delete unknown":   {asControlPlane(handler, http.MethodDelete, cloudapi.PathLoadBalancers+"u8", ""), 204, ""},
		"retain, no list":  {asControlPlane(handler, http.MethodPost, cloudapi.PathRetain, "[]"), 400, "list of services"},
	} {
		if test.answer.Code != test.want || !strings.Contains(test.answer.Body.String(), test.text) {
			t.Errorf("%s: %d %q, want %d and %q", name, test.answer.Code, test.answer.Body, test.want, test.text)
		}
	}
	for _, uid := range []string{"b", "c"} {
		if got := put(uid, balancer(uid)); got.Code != http.StatusOK {
			t.Errorf("%s: %d %q", uid, got.Code, got.Body)
		}
	}
	if got := put("d", balancer("d")); got.Code != http.StatusInsufficientStorage {
		t.Errorf("without a free address: %d %q", got.Code, got.Body)
	}
}

// FuzzLoadBalancer checks that whatever a control plane sends changes the load
// balancer that the path names at most, and leaves a file that can be read again.
func FuzzLoadBalancer(f *testing.F) {
	f.Add(encoded(f, requesting("a", "192.168.104.253")))
	f.Add(encoded(f, cloudapi.LoadBalancer{UID: "a"}))
	f.Add(`{"uid":"a","namespace":"x","name":"y","ports":[{"protocol":"UDP","port":53}],"sourceRanges":["10.0.0.0/8",""],"previous":"::1"}`)
	f.Fuzz(func(t *testing.T, body string) {
		handler, b := testHandler(t)
		asControlPlane(handler, http.MethodPut, cloudapi.PathLoadBalancers+"other", encoded(t, balancer("other")))
		answer := asControlPlane(handler, http.MethodPut, cloudapi.PathLoadBalancers+"a", body)
		if answer.Code == http.StatusInternalServerError {
			t.Errorf("%d %q", answer.Code, answer.Body)
		}
		again, err := OpenBalancers(b.path, smallPool, quiet)
		if err != nil {
			t.Fatal(err)
		}
		all := again.list()
		if _, err := again.Get("other"); err != nil || len(all) > 2 || len(all) != len(b.list()) || len(all) == 2 && answer.Code != http.StatusOK {
			t.Errorf("answer %d, load balancers %v, %v", answer.Code, all, err)
		}
		for _, l := range all {
			if !smallPool.Contains(l.Address) {
				t.Errorf("address %s", l.Address)
			}
		}
	})
}
