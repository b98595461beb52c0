package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/edge/authority"
	"github.com/skiff-dev/skiff/vm/edge/web/gateway"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
	"github.com/skiff-dev/skiff/vm/home"
)

// rig is a user's home with daemons that serve clusters, as far as they serve HTTP.
type rig struct {
	home  home.Home
	ports Ports
}

// newRig chooses free ports, so that tests leave the standard ones alone.
func newRig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "web") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &rig{home: home.Home(dir), ports: Ports{HTTP: int(runtest.FreePort(t)), HTTPS: int(runtest.FreePort(t))}}
	if err := writePorts(r.home, r.ports); err != nil {
		t.Fatal(err)
	}
	return r
}

// cluster is a cluster of the rig.
type cluster struct {
	name    string
	server  *Server
	inside  chan net.Addr // receives where port 80 of the gateway is, at every listen
	stop    func()        // ends its daemon
	pods    *pods
	frozen  atomic.Bool
	uses    uses
	refuses atomic.Int32 // how many listens of Gateways still fail
	secrets map[types.NamespacedName]tls.Certificate

	mu       sync.Mutex // guards the fields below
	objects  route.Objects
	gateways gateway.Objects
	changed  chan struct{}
	written  []change
	statuses []gateway.Status
	ports    map[netip.AddrPort]net.Listener // of Gateways
}

// pods are servers on the host that play pods.
type pods struct {
	mu sync.Mutex
	at map[string]string // the address of the server by that of the pod
}

func (p *pods) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.mu.Lock()
	target := p.at[address]
	p.mu.Unlock()
	if target == "" {
		return nil, errors.New("connection refused")
	}
	return (&net.Dialer{}).DialContext(ctx, network, target)
}

// start starts a daemon and waits until it serves.
func (r *rig) start(t *testing.T, name string) *cluster {
	t.Helper()
	c := &cluster{name: name, pods: &pods{at: map[string]string{}}, changed: make(chan struct{}), inside: make(chan net.Addr, 8), secrets: map[types.NamespacedName]tls.Certificate{}}
	dir := r.home.Cluster(name)
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	c.objects.Classes = []*networkingv1.IngressClass{{ObjectMeta: metav1.ObjectMeta{Name: names.IngressClass}, Spec: networkingv1.IngressClassSpec{Controller: names.IngressController}}}
	var err error
	c.server, err = New(Config{
		Home: r.home, Cluster: name, Objects: c.current, Dial: c.pods.dial, Log: slog.New(slog.DiscardHandler),
		Listen: c.listen, Assign: assign,
		Frozen:   func(context.Context) bool { return c.frozen.Load() },
		Use:      c.use,
		Reserved: func() []int { return nil }, Secret: c.secret, Status: c.status, GatewayStatus: c.gatewayStatus,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.server.Run(ctx) }()
	_ = os.Remove(dir.Socket())
	listener, err := net.Listen("unix", dir.Socket())
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+daemonapi.PathWebHosts, c.server.AnswerHosts)
	mux.HandleFunc("GET "+daemonapi.PathWebCertificate, c.server.AnswerCertificate)
	api := &http.Server{Handler: mux}
	go func() { _ = api.Serve(listener) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		_ = api.Close()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	t.Cleanup(c.stop)
	eventually(t, "serve", func() error {
		if _, ok := ReadPorts(r.home); !ok {
			return errors.New("nobody serves the entry")
		}
		conn, err := net.Dial("unix", dir.Web())
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	return c
}

// uses counts uses of a cluster.
type uses struct {
	began, ended atomic.Int64
	wakes        atomic.Bool // whether a use resumes the cluster
}

func (c *cluster) use(context.Context) (func(), error) {
	c.uses.began.Add(1)
	if c.uses.wakes.Load() {
		c.frozen.Store(false)
	}
	return func() { c.uses.ended.Add(1) }, nil
}

func (c *cluster) listen(address netip.Addr, port uint16) (net.Listener, error) {
	if address.IsValid() && c.refuses.Add(-1) >= 0 {
		return nil, errors.New("the port is in use")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	switch {
	case err != nil:
		return nil, err
	case address.IsValid():
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.ports == nil {
			c.ports = map[netip.AddrPort]net.Listener{}
		}
		c.ports[netip.AddrPortFrom(address, port)] = l
	case port == 80:
		c.inside <- l.Addr()
	}
	return l, nil
}

// assign gives all Gateways addresses.
func assign(claims []gateway.Claim, _ bool) map[types.UID]gateway.Address {
	addresses := map[types.UID]gateway.Address{}
	for i, claim := range claims {
		addresses[claim.UID] = gateway.Address{IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}
	}
	return addresses
}

func (c *cluster) current() (Objects, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Objects{Objects: c.objects, Gateways: c.gateways, Complete: true}, c.changed
}

func (c *cluster) secret(_ context.Context, name types.NamespacedName) (certificate, key []byte, err error) {
	pair, ok := c.secrets[name]
	if !ok {
		return nil, nil, fmt.Errorf("no secret %s", name)
	}
	return encode(&pair)
}

func (c *cluster) status(_ context.Context, name types.NamespacedName, addresses []networkingv1.IngressLoadBalancerIngress) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written = append(c.written, change{name, addresses})
	return nil
}

func (c *cluster) gatewayStatus(_ context.Context, status gateway.Status) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses = append(c.statuses, status)
	return nil
}

// update changes the objects and waits until the server routes by them.
func (c *cluster) update(t *testing.T, change func(*route.Objects)) {
	t.Helper()
	before := c.server.site.table.Load()
	c.mu.Lock()
	change(&c.objects)
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	eventually(t, "route by the new objects", func() error {
		if c.server.site.table.Load() == before {
			return errors.New("old routes")
		}
		return nil
	})
}

// serve creates a Service in the namespace default, whose pods are the handlers.
func (c *cluster) serve(t *testing.T, name, appProtocol string, handlers ...http.Handler) {
	t.Helper()
	var addresses []string
	for _, h := range handlers {
		s := httptest.NewUnstartedServer(h)
		s.Config.Protocols = &http.Protocols{}
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		if appProtocol == "https" {
			s.EnableHTTP2 = true
			s.Config.Protocols.SetHTTP2(true)
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		addresses = append(addresses, s.Listener.Addr().String())
	}
	c.serveAt(t, name, appProtocol, addresses...)
}

// serveAt creates a Service whose pods listen at addresses of the host.
func (c *cluster) serveAt(t *testing.T, name, appProtocol string, addresses ...string) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("main"), Port: ptr.To[int32](8080)}},
	}
	for i, address := range addresses {
		pod := fmt.Sprintf("10.244.%d.%d", len(c.objects.Services), i+1)
		c.pods.mu.Lock()
		c.pods.at[pod+":8080"] = address
		c.pods.mu.Unlock()
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{pod}})
	}
	port := corev1.ServicePort{Name: "main", Port: 80}
	if appProtocol != "" {
		port.AppProtocol = &appProtocol
	}
	c.update(t, func(o *route.Objects) {
		o.Services = append(o.Services, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{port}}})
		o.Slices = append(o.Slices, slice)
	})
}

// ingress creates an Ingress that sends a host to a Service, with a certificate if
// secret is not empty.
func (c *cluster) ingress(t *testing.T, host, service, secret string) {
	t.Helper()
	i := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "for-" + host},
		Spec: networkingv1.IngressSpec{IngressClassName: ptr.To(names.IngressClass), Rules: []networkingv1.IngressRule{{
			Host: host,
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/", PathType: ptr.To(networkingv1.PathTypePrefix),
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 80}}},
			}}}},
		}}},
	}
	if secret != "" {
		i.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{host}, SecretName: secret}}
	}
	c.update(t, func(o *route.Objects) { o.Ingresses = append(o.Ingresses, i) })
}

// says is a handler that answers with a text.
func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
}

// client connects to the entry whatever the host of a URL is, and trusts the local
// authority.
func (r *rig) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots(t)}, ForceAttemptHTTP2: true, DialContext: r.dialEntry}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func (r *rig) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	a, err := authority.Open(r.home.Authority(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	return roots
}

func (r *rig) dialEntry(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

func (r *rig) url(host string) string  { return fmt.Sprintf("http://%s:%d", host, r.ports.HTTP) }
func (r *rig) turl(host string) string { return fmt.Sprintf("https://%s:%d", host, r.ports.HTTPS) }

// get returns the status and the body of a page.
func get(t *testing.T, client *http.Client, url string, header ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return response.StatusCode, string(body)
}

func expect(t *testing.T, client *http.Client, url string, status int, parts ...string) {
	t.Helper()
	got, body := get(t, client, url)
	if got != status {
		t.Errorf("%s: status %d, want %d\n%s", url, got, status, body)
	}
	for _, part := range parts {
		if !strings.Contains(body, part) {
			t.Errorf("%s: no %q in\n%s", url, part, body)
		}
	}
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func TestOnlyTheUserReachesTheSocket(t *testing.T) {
	r := newRig(t)
	r.start(t, "dev")
	info, err := os.Stat(r.home.Cluster("dev").Web())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(r.home.Authority(), "ca.crt")); err != nil {
		t.Error(err)
	}
}
