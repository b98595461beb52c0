package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

func TestPagesHelp(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.serve(t, "web", "", says("hello"))
	c.serveAt(t, "idle", "")
	c.serveAt(t, "closed", "", "127.0.0.1:1")
	c.serve(t, "secure", "https", says("hello"))
	client := r.client(t)
	port := fmt.Sprint(":", r.ports.HTTP)
	expect(t, client, r.url("idle.default.dev.localhost"), 503, "Service default/idle has no ready endpoints", "kubectl --context skiff-dev -n default describe service")
	expect(t, client, r.url("wep.default.dev.localhost"), 404, "no Service default/wep", "http://web.default.dev.localhost"+port+"/")
	expect(t, client, r.url("9.web.default.dev.localhost"), 404, "Service default/web has no port 9", "http://main.web.default.dev.localhost"+port+"/")
	expect(t, client, r.url("closed.default.dev.localhost"), 502, "does not accept connections")
	expect(t, client, r.url("dev.localhost"), 200, "http://web.default.dev.localhost"+port+"/")
	expect(t, client, r.url("web.default.old.localhost"), 404, `There is no cluster "old"`)
	c.frozen.Store(true)
	eventually(t, "notice the pause", func() error {
		if status, body := get(t, client, r.url("web.default.dev.localhost")); status != 503 || !strings.Contains(body, "Cluster dev is paused") {
			return errors.New(body)
		}
		return nil
	})
}

func TestRequestsOfTheHostAreUsesOfTheCluster(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.serve(t, "web", "", says("hello"))
	client := r.client(t)
	expect(t, client, r.url("web.default.dev.localhost"), 200, "hello")
	if began, ended := c.uses.began.Load(), c.uses.ended.Load(); began == 0 || began != ended {
		t.Errorf("%d uses, of which %d have ended", began, ended)
	}
	// The cluster is asleep, and the use wakes it.
	c.uses.wakes.Store(true)
	c.frozen.Store(true)
	expect(t, client, r.url("web.default.dev.localhost"), 200, "hello")
	began := c.uses.began.Load()
	expect(t, client, r.url("web.default.old.localhost"), 404, `There is no cluster "old"`)
	if c.uses.began.Load() != began {
		t.Error("a request for another cluster is a use")
	}
	// A handshake reads the secret of an Ingress, so it wakes the cluster as well.
	c.secrets[types.NamespacedName{Namespace: "default", Name: "tls"}] = selfSigned(t, "a.example.com", client.Transport.(*http.Transport).TLSClientConfig.RootCAs)
	c.ingress(t, "a.example.com", "web", "tls")
	c.frozen.Store(true)
	expect(t, client, r.turl("a.example.com"), 200, "hello")
}

func TestBrowsersGetHTMLThatRunsNothing(t *testing.T) {
	r := newRig(t)
	r.start(t, "dev").serveAt(t, "idle", "")
	request, err := http.NewRequest(http.MethodGet, r.url("idle.default.dev.localhost"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	response, err := r.client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
		t.Errorf("content type %q", kind)
	}
	if policy := response.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("policy %q", policy)
	}
	if response.Header.Get("Retry-After") == "" || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", response.Header)
	}
}

func TestSiteThatResolvesToLoopbackLearnsNothing(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.serve(t, "web", "", says("secret"))
	c.update(t, func(o *route.Objects) {
		o.Ingresses = append(o.Ingresses, &networkingv1.Ingress{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "everything"},
			Spec: networkingv1.IngressSpec{IngressClassName: ptr.To(names.IngressClass), DefaultBackend: &networkingv1.IngressBackend{
				Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}},
			}},
		})
	})
	for _, host := range []string{"evil.example.com", "127.0.0.1", "localhost", "dev.localhost.evil.example.com"} {
		for _, url := range []string{r.url("dev.localhost"), r.turl("dev.localhost")} {
			request, err := http.NewRequest(http.MethodGet, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = host
			response, err := r.client(t).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body := make([]byte, 10_000)
			n, _ := response.Body.Read(body)
			_ = response.Body.Close()
			if text := string(body[:n]); response.StatusCode != 404 || strings.Contains(text, "secret") || strings.Contains(text, "dev") {
				t.Errorf("%s: %d %s", host, response.StatusCode, text)
			}
		}
	}
	expect(t, r.client(t), r.url("dev.localhost"), 200, "secret")
}

func TestMachinesReachIngressesByAnyHost(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.serve(t, "web", "", says("hello"))
	c.ingress(t, "", "web", "")
	inside := (<-c.inside).String()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, inside)
	}}}
	for _, host := range []string{"my-host", "192.168.104.2", "example.com"} {
		expect(t, client, "http://"+host+"/path", 200, "hello")
	}
}

func TestClustersShareTheEntry(t *testing.T) {
	r := newRig(t)
	first := r.start(t, "dev")
	first.serve(t, "web", "", says("first"))
	second := r.start(t, "ci")
	second.serve(t, "web", "", http.HandlerFunc(echo))
	client := r.client(t)
	expect(t, client, r.url("web.default.dev.localhost"), 200, "first")
	expect(t, client, r.url("web.default.ci.localhost")+"/x?y", 200, "GET /x?y host=web.default.ci.localhost", "X-Forwarded-For: 127.0.0.1\n", "X-Forwarded-Proto: http\n")
	expect(t, client, r.turl("web.default.ci.localhost"), 200, "X-Forwarded-Proto: https", fmt.Sprint("X-Forwarded-Port: ", r.ports.HTTPS))
	expect(t, client, r.turl("wep.default.ci.localhost"), 404, "https://web.default.ci.localhost")
	_, body := get(t, client, r.url("web.default.ci.localhost"), "X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https")
	if strings.Contains(body, "192.0.2.1") || strings.Contains(body, "https") {
		t.Errorf("the other daemon trusted the client:\n%s", body)
	}

	first.stop()
	eventually(t, "another daemon takes over", func() error {
		response, err := client.Get(r.url("web.default.ci.localhost"))
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		return nil
	})
	expect(t, client, r.url("web.default.dev.localhost"), 503, "Cluster dev is not running", "skiff up dev")
	if ports, ok := ReadPorts(r.home); !ok || ports != r.ports {
		t.Errorf("the ports changed: %v, %v", ports, ok)
	}
	r.start(t, "dev").serve(t, "web", "", says("again"))
	expect(t, client, r.turl("web.default.dev.localhost"), 200, "again")
}

func TestIngressesOfAllClustersAreServed(t *testing.T) {
	r := newRig(t)
	first, second := r.start(t, "dev"), r.start(t, "ci")
	first.serve(t, "web", "", says("first"))
	second.serve(t, "web", "", says("second"))
	first.ingress(t, "a.example.com", "web", "")
	second.ingress(t, "*.b.example.com", "web", "")
	second.ingress(t, "web.default.dev.localhost", "web", "") // the name belongs to dev
	first.ingress(t, "both.example.com", "web", "")
	second.ingress(t, "both.example.com", "web", "")
	client := r.client(t)
	expect(t, client, r.url("a.example.com"), 200, "first")
	expect(t, client, r.url("x.b.example.com"), 200, "second")
	expect(t, client, r.url("web.default.dev.localhost"), 200, "first")
	expect(t, client, r.url("both.example.com"), 409, "Several clusters", "ci, dev")
	expect(t, client, r.url("c.example.com"), 404, "No cluster answers")
}

// selfSigned returns a certificate for a host and trusts it.
func selfSigned(t *testing.T, host string, roots *x509.CertPool) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTheSecretOfAnIngressIsItsCertificate(t *testing.T) {
	r := newRig(t)
	client := r.client(t)
	roots := client.Transport.(*http.Transport).TLSClientConfig.RootCAs
	for _, name := range []string{"dev", "ci"} { // the entry is dev's
		c := r.start(t, name)
		c.serve(t, "web", "", says(name))
		c.secrets[types.NamespacedName{Namespace: "default", Name: "tls"}] = selfSigned(t, name+".example.com", roots)
		c.ingress(t, name+".example.com", "web", "tls")
		c.ingress(t, "missing."+name+".localhost", "web", "missing")
		expect(t, client, r.turl(name+".example.com"), 200, name)
		expect(t, client, r.turl("missing."+name+".localhost"), 200, name) // the local authority's
	}
	if _, err := client.Get(r.turl("other.example.com")); err == nil {
		t.Error("a certificate for a host that nobody has")
	}
}

func TestChangedSecretIsReadAgain(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	name := types.NamespacedName{Namespace: "default", Name: "tls"}
	old, current := selfSigned(t, "a.com", x509.NewCertPool()), selfSigned(t, "a.com", x509.NewCertPool())
	c.secrets[name] = old
	c.ingress(t, "a.com", "web", "tls")
	own := c.server.dispatcher.own
	same := func(want tls.Certificate) bool {
		got := own.find(t.Context(), "a.com")
		return got != nil && string(got.Certificate[0]) == string(want.Certificate[0])
	}
	if !same(old) {
		t.Error("not the certificate of the secret")
	}
	c.secrets[name] = current
	if !same(old) {
		t.Error("the secret was read again at once")
	}
	own.pairs[name].at = time.Now().Add(-secretFresh)
	if !same(current) {
		t.Error("the secret was not read again")
	}
	delete(c.secrets, name)
	own.pairs[name].at = time.Now().Add(-secretFresh)
	c.frozen.Store(true) // the API cannot be asked
	time.Sleep(rememberFor)
	if !same(current) {
		t.Error("the certificate of a paused cluster was forgotten")
	}
	c.frozen.Store(false)
	if own.find(t.Context(), "a.com") != nil {
		t.Error("a deleted secret is used")
	}
}

func TestTheNextPortsAreUsedAndRemembered(t *testing.T) {
	r := newRig(t)
	taken, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", r.ports.HTTP))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	listeners, port, err := listen([]int{r.ports.HTTP, r.ports.HTTPS})
	if err != nil || port != r.ports.HTTPS {
		t.Fatalf("port %d, %v", port, err)
	}
	_ = closeAll(listeners)
	if _, _, err := listen([]int{r.ports.HTTP}); err == nil {
		t.Error("no error without a free port")
	}
	if got := candidates(8085, 80, 8080, nil); got[0] != 8085 || got[1] != 80 || got[2] != 8080 || got[3] != 8081 {
		t.Errorf("candidates %v", got[:4])
	}
	if got := candidates(0, 80, 8080, []int{8080}); got[0] != 80 || got[1] != 8081 {
		t.Errorf("candidates %v", got[:4])
	}
	if err := os.WriteFile(r.home.Web(), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readPorts(r.home); err == nil {
		t.Error("a damaged file is read")
	}
}

func TestURLsOmitStandardPorts(t *testing.T) {
	plain, secure := Ports{HTTP: 80, HTTPS: 8443}.URLs("dev")
	if plain != "http://SERVICE.NAMESPACE.dev.localhost" || secure != "https://SERVICE.NAMESPACE.dev.localhost:8443" {
		t.Errorf("%s, %s", plain, secure)
	}
}

func TestPortsAreKnownWhileDaemonServesThem(t *testing.T) {
	r := newRig(t)
	if _, ok := ReadPorts(r.home); ok {
		t.Error("known before")
	}
	c := r.start(t, "dev")
	if ports, ok := ReadPorts(r.home); !ok || ports != r.ports {
		t.Errorf("%v, %v", ports, ok)
	}
	c.stop()
	if _, ok := ReadPorts(r.home); ok {
		t.Error("known afterwards")
	}
}

func TestChangesOfStatus(t *testing.T) {
	addresses := addresses("dev", netip.MustParseAddr("192.168.104.2"))
	ingress := func(name string, has []networkingv1.IngressLoadBalancerIngress) *networkingv1.Ingress {
		i := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		i.Status.LoadBalancer.Ingress = has
		return i
	}
	foreign := []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.1"}}
	done, new, wrong, left, other := ingress("done", addresses), ingress("new", nil), ingress("wrong", foreign), ingress("left", addresses), ingress("other", foreign)
	got := changes([]*networkingv1.Ingress{done, new, wrong, left, other}, []*networkingv1.Ingress{done, new, wrong}, addresses)
	var lines []string
	for _, c := range got {
		lines = append(lines, fmt.Sprint(c.ingress.Name, " ", len(c.addresses)))
	}
	if strings.Join(lines, ", ") != "new 2, wrong 2, left 0" {
		t.Errorf("changes %v", lines)
	}
	if addresses[0].IP != "192.168.104.2" || addresses[1].Hostname != "dev.localhost" {
		t.Errorf("addresses %v", addresses)
	}
}

func TestFailedWriteOfStatusIsRetried(t *testing.T) {
	var asked int
	complete := writeStatus(t.Context(), func(context.Context, types.NamespacedName, []networkingv1.IngressLoadBalancerIngress) error {
		asked++
		return errors.New("the API is away")
	}, []change{{}, {}}, slog.New(slog.DiscardHandler))
	if complete || asked != 2 {
		t.Errorf("complete %v after %d", complete, asked)
	}
}

func TestIngressesGetTheirAddresses(t *testing.T) {
	r := newRig(t)
	c := r.start(t, "dev")
	c.ingress(t, "a.com", "web", "")
	eventually(t, "write the status", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.written) == 0 || c.written[0].addresses[0].Hostname != "dev.localhost" {
			return fmt.Errorf("written: %v", c.written)
		}
		return nil
	})
}

func TestSlowClientsAreDisconnected(t *testing.T) {
	r := newRig(t)
	f := r.start(t, "dev").server.dispatcher
	s := server(f, f.certificate, slog.New(slog.DiscardHandler))
	if s.ReadHeaderTimeout != headerLimit || s.IdleTimeout != keepAliveLimit {
		t.Errorf("limits %s and %s", s.ReadHeaderTimeout, s.IdleTimeout)
	}
	s.ReadHeaderTimeout, s.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond
	var listeners []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- serveAll(ctx, s, listeners[:1], listeners[1:]) }()
	for name, sent := range map[string]string{
		"nothing": "", "half a header": "GET / HTTP/1.1\r\nHost: web", "an idle connection": "GET / HTTP/1.1\r\nHost: dev.localhost\r\n\r\n",
	} {
		for _, l := range listeners {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write([]byte(sent))
			_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s keeps a connection open", name)
			}
			_ = conn.Close()
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
