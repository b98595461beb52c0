package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/internal/names"
)

// gateway creates a Gateway and routes to it in the namespace default. listeners and the
// specs are YAML.
func (c *cluster) gateway(t *testing.T, listeners string, httpRoutes, tlsRoutes []string) {
	t.Helper()
	parse := func(text string, into any) {
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	meta := metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web"}
	g := &gatewayv1.Gateway{ObjectMeta: meta, Spec: gatewayv1.GatewaySpec{GatewayClassName: names.GatewayClass}}
	parse(listeners, &g.Spec.Listeners)
	c.mu.Lock()
	c.gateways.Classes = []*gatewayv1.GatewayClass{{
		ObjectMeta: metav1.ObjectMeta{Name: names.GatewayClass}, Spec: gatewayv1.GatewayClassSpec{ControllerName: names.GatewayController},
	}}
	c.gateways.Gateways = []*gatewayv1.Gateway{g}
	for i, spec := range httpRoutes {
		o := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("route-", i)}}
		parse(spec, &o.Spec)
		c.gateways.HTTPRoutes = append(c.gateways.HTTPRoutes, o)
	}
	for i, spec := range tlsRoutes {
		o := &gatewayv1.TLSRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("route-", i)}}
		parse(spec, &o.Spec)
		c.gateways.TLSRoutes = append(c.gateways.TLSRoutes, o)
	}
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	eventually(t, "open the port of the Gateway", func() error {
		if c.port(g.Spec.Listeners[0].Port) == "" {
			return errors.New("it is not open")
		}
		return nil
	})
}

// port returns where a port of the only Gateway is.
func (c *cluster) port(number int32) string {
	if l := c.listener(number); l != nil {
		return l.Addr().String()
	}
	return ""
}

// listener returns the listener of a port of the only Gateway; nil if it was never open.
func (c *cluster) listener(number int32) net.Listener {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ports[netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(number))]
}

// inCluster returns a client in the cluster, for which every host is at a port of the Gateway.
func (c *cluster) inCluster(t *testing.T, port int32, roots *x509.CertPool) *http.Client {
	t.Helper()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, c.port(port))
		},
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

const onlyHTTP = `[{name: http, port: 80, protocol: HTTP}]`

func TestAGatewayAnswersInTheClusterAndOnTheHost(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.serve(t, "web", "", says("hello"))
	c.gateway(t, onlyHTTP, []string{`{parentRefs: [{name: web}], hostnames: [shop.test], rules: [{backendRefs: [{name: web, port: 80}]}]}`}, nil)
	inside := c.inCluster(t, 80, nil)
	expect(t, inside, "http://shop.test", 200, "hello")
	expect(t, inside, "http://other.test", 404, "No route of the Gateway")
	expect(t, r.client(t), r.url("shop.test"), 200, "hello")
	expect(t, r.client(t), r.url("other.test"), 404, "No cluster answers")
	c.mu.Lock()
	defer c.mu.Unlock()
	var written []string
	for _, s := range c.statuses {
		written = append(written, s.Resource)
	}
	if text := strings.Join(written, " "); !strings.Contains(text, "gatewayclasses gateways httproutes") {
		t.Errorf("wrote the statuses of %s", text)
	}
}

func TestARouteWithoutAHostAnswersForTheClusterOnly(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.serve(t, "web", "", says("hello"))
	c.gateway(t, onlyHTTP, []string{`{parentRefs: [{name: web}], rules: [{backendRefs: [{name: web, port: 80}]}]}`}, nil)
	expect(t, c.inCluster(t, 80, nil), "http://any.test", 200, "hello")
	expect(t, r.client(t), r.url("dev.localhost"), 200, "hello")
	expect(t, r.client(t), r.url("any.test"), 404, "No cluster answers")
}

func TestAPortThatIsInUseIsTriedAgain(t *testing.T) {
	c := newRig(t).start(t, "dev")
	c.refuses.Store(1)
	c.gateway(t, onlyHTTP, nil, nil) // waits until the port is open
	c.mu.Lock()
	defer c.mu.Unlock()
	var seen []string
	for _, s := range c.statuses {
		if status, ok := s.Content.(gatewayv1.GatewayStatus); ok {
			seen = append(seen, status.Conditions[1].Reason)
		}
	}
	if len(seen) == 0 || seen[0] != string(gatewayv1.GatewayReasonAddressNotUsable) {
		t.Errorf("reasons %v", seen)
	}
}

func TestAPortThatFailsIsOpenedAgain(t *testing.T) {
	c := newRig(t).start(t, "dev")
	c.gateway(t, onlyHTTP, nil, nil)
	failing := c.listener(80)
	if err := failing.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "open the port again", func() error {
		if c.listener(80) == failing {
			return errors.New("it is closed")
		}
		return nil
	})
	expect(t, c.inCluster(t, 80, nil), "http://any.test", 404, "No route of the Gateway")
}

func TestAPortIsClosedWithItsListener(t *testing.T) {
	c := newRig(t).start(t, "dev")
	c.gateway(t, onlyHTTP, nil, nil)
	at := c.port(80)
	c.mu.Lock()
	c.gateways.Gateways = nil
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	eventually(t, "close the port", func() error {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			return nil
		}
		_ = conn.Close()
		return errors.New("it is open")
	})
}

func TestARouteChangesRequestsAndAnswers(t *testing.T) {
	c := newRig(t).start(t, "dev")
	mirrored := make(chan string, 1)
	c.serve(t, "web", "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Gone", "1")
		fmt.Fprint(w, r.Host, " ", r.URL.Path, " ", r.Header.Get("X-Set"), " ", string(body))
	}))
	c.serve(t, "copy", "", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mirrored <- fmt.Sprint(r.URL.Path, " ", string(body), " ", r.Header.Get("X-Hop"), r.Header.Get("X-End"))
	}))
	c.serve(t, "slow", "", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	c.gateway(t, onlyHTTP, []string{`
parentRefs: [{name: web}]
rules:
- matches: [{path: {value: /old}}]
  filters:
  - {type: URLRewrite, urlRewrite: {hostname: inner.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Set, value: "yes"}]}}
  - {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [X-Gone], add: [{name: X-Added, value: "yes"}]}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}
  backendRefs: [{name: web, port: 80}]
- matches: [{path: {value: /slow}}]
  timeouts: {request: 50ms}
  backendRefs: [{name: slow, port: 80}]
- matches: [{path: {value: /moved}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: other.test, statusCode: 301}}]
`}, nil)
	client := c.inCluster(t, 80, nil)
	request, err := http.NewRequest(http.MethodPost, "http://shop.test/old/x", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Connection": {"x-hop, X-Other"}, "X-Hop": {"hop"}, "X-End": {"end"}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if string(body) != "inner.test /new/x yes body" || response.Header.Get("X-Gone") != "" || response.Header.Get("X-Added") != "yes" {
		t.Errorf("%s, header %v", body, response.Header)
	}
	select {
	case got := <-mirrored:
		if got != "/old/x body end" {
			t.Errorf("the mirror got %q", got)
		}
	case <-time.After(time.Minute):
		t.Error("the mirror got nothing")
	}
	expect(t, client, "http://shop.test/slow", 504)
	response, err = client.Get("http://shop.test/moved")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != 301 || response.Header.Get("Location") != "http://other.test/moved" {
		t.Errorf("%d %s", response.StatusCode, response.Header.Get("Location"))
	}
}

func TestAPortSharesTLSOfRequestsAndStreams(t *testing.T) {
	c := newRig(t).start(t, "dev")
	roots := x509.NewCertPool()
	c.secrets[types.NamespacedName{Namespace: "default", Name: "cert"}] = selfSigned(t, "shop.test", roots)
	c.secrets[types.NamespacedName{Namespace: "default", Name: "end"}] = selfSigned(t, "end.test", roots)
	c.serve(t, "web", "", says("requests"))
	through := httptest.NewUnstartedServer(says("stream"))
	through.TLS = &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "through.test", roots)}}
	through.StartTLS()
	t.Cleanup(through.Close)
	c.serveAt(t, "through", "", through.Listener.Addr().String())
	c.gateway(t, `
- {name: requests, port: 443, protocol: HTTPS, hostname: shop.test, tls: {certificateRefs: [{name: cert}]}}
- {name: streams, port: 443, protocol: TLS, hostname: through.test, tls: {mode: Passthrough}}
- {name: ends, port: 443, protocol: TLS, hostname: end.test, tls: {certificateRefs: [{name: end}]}}
`, []string{`{parentRefs: [{name: web}], rules: [{backendRefs: [{name: web, port: 80}]}]}`}, []string{
		`{parentRefs: [{name: web}], hostnames: [through.test], rules: [{backendRefs: [{name: through, port: 80}]}]}`,
		`{parentRefs: [{name: web}], hostnames: [end.test], rules: [{backendRefs: [{name: web, port: 80}]}]}`,
	})
	client := c.inCluster(t, 443, roots)
	expect(t, client, "https://shop.test", 200, "requests")
	expect(t, client, "https://through.test", 200, "stream")
	if response, err := client.Get("https://unknown.test"); err == nil {
		_ = response.Body.Close()
		t.Errorf("an unknown name: answered with %d", response.StatusCode)
	}
	conn, err := tls.Dial("tcp", c.port(443), &tls.Config{ServerName: "end.test", RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
	if answer, err := io.ReadAll(conn); !strings.Contains(string(answer), "requests") {
		t.Errorf("%q, %v", answer, err)
	}
}
