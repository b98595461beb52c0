package upstream

import (
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/net/http/httpproxy"

	"github.com/skiff-dev/skiff/internal/splice"
	"github.com/skiff-dev/skiff/vm/network"
)

func newClient(t *testing.T, config Config) *Client {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestTheGuardRefusesByURL(t *testing.T) {
	c := newClient(t, Config{
		Egress: network.EgressAll, Insecure: []string{"plain.example:5000"},
		Proxy:   httpproxy.Config{HTTPSProxy: "http://127.0.0.1:3128"}, // which would connect to any address
		Mirrors: []string{"docker.io=http://127.0.0.1:5555", "quay.io=https://127.0.0.2/hub"},
	})
	for address, allowed := range map[string]bool{
		"https://registry.example/v2/":        true,
		"http://registry.example/v2/":         false,
		"http://plain.example:5000/v2/":       true,
		"https://plain.example:5000/v2/":      true,
		"http://plain.example/v2/":            false, // another port
		"http://127.0.0.1:5555/v2/":           true,  // a mirror
		"https://127.0.0.2/v2/":               true,
		"http://127.0.0.2/v2/":                false,
		"https://127.0.0.1:5556/v2/":          false,
		"https://localhost/v2/":               false,
		"https://LOCALHOST./v2/":              false,
		"https://a.localhost:6443/v2/":        false,
		"https://169.254.169.254/v2/":         false,
		"https://[::1]/v2/":                   false,
		"https://[::ffff:127.0.0.1]:443/v2/":  false,
		"https://[fd00:ec2::254]/v2/":         false,
		"https://0.0.0.0/v2/":                 false,
		"https://[2606:4700:4700::1111]/v2/x": true,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.guard.check(u); (err == nil) != allowed || err != nil && !errors.Is(err, errRefused) {
			t.Errorf("%s: %v, want allowed %v", address, err, allowed)
		}
	}
}

func TestMirrorsAreAskedInTheirOrder(t *testing.T) {
	var asked []string
	answer := func(name string, status int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			asked = append(asked, name+" "+r.URL.Path)
			w.WriteHeader(status)
		}))
		t.Cleanup(server.Close)
		return "docker.io=" + server.URL
	}
	c := newClient(t, Config{Egress: network.EgressAll, Mirrors: []string{
		answer("broken", http.StatusServiceUnavailable), answer("empty", http.StatusNotFound) + "/hub", answer("good", http.StatusOK),
	}})
	if _, err := c.Manifest(t.Context(), "docker.io", "library/app", "1"); err != nil {
		t.Error(err)
	}
	want := "broken /v2/library/app/manifests/1, empty /v2/hub/library/app/manifests/1, good /v2/library/app/manifests/1"
	if got := strings.Join(asked, ", "); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

func TestARegistryThatCannotBeReachedIsNotAskedAgainAtOnce(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(server.Close)
	c, address := newClientOf(t, server)
	for range 3 {
		if _, err := c.Resolve(t.Context(), address, "app", "1"); !errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// newClientOf returns a client of one registry, which is its own mirror, because
// nothing else on loopback may be asked.
func newClientOf(t *testing.T, server *httptest.Server) (c *Client, address string) {
	t.Helper()
	address = strings.TrimPrefix(server.URL, "http://")
	return newClient(t, Config{Egress: network.EgressAll, Mirrors: []string{address + "=" + server.URL}}), address
}

func TestAnswersOfARegistry(t *testing.T) {
	const content = `{"schemaVersion":2}`
	d := digest.FromString(content)
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/v2/good/manifests/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", d.String())
		_, _ = w.Write([]byte(content))
	})
	mux.HandleFunc("/v2/large/manifests/1", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, MaxManifest+1))
	})
	mux.HandleFunc("/v2/denied/manifests/1", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write(make([]byte, 16<<20)) // is not read to its end
	})
	mux.HandleFunc("/v2/busy/manifests/1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c, address := newClientOf(t, server)
	if got, err := c.Resolve(t.Context(), address, "good", "1"); err != nil || got != d {
		t.Errorf("resolve: %s, %v", got, err)
	}
	if got, err := c.Manifest(t.Context(), address, "good", d.String()); err != nil || string(got) != content {
		t.Errorf("manifest: %s, %v", got, err)
	}
	for repository, want := range map[string]error{"large": ErrNotFound, "denied": ErrNotFound, "missing": ErrNotFound, "busy": ErrUnreachable} {
		if _, err := c.Manifest(t.Context(), address, repository, "1"); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", repository, err, want)
		}
	}
	if _, err := c.Manifest(t.Context(), address, "good", digest.FromString("other").String()); !errors.Is(err, ErrNotFound) {
		t.Errorf("a wrong digest: %v", err)
	}
}

func TestAPrivateAuthorityAndAProxy(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", digest.FromString("x").String())
	}))
	t.Cleanup(server.Close)
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	var tunnels atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "example.com:443" {
			t.Errorf("the proxy was asked for %s %s", r.Method, r.Host)
		}
		tunnels.Add(1)
		outside, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		// The server reads ahead until then, so nothing may be answered before.
		inside, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(inside, "HTTP/1.1 200 Connection established\r\n\r\n")
		splice.Both(inside, outside)
		_, _ = inside.Close(), outside.Close()
	}))
	t.Cleanup(proxy.Close)
	through := httpproxy.Config{HTTPSProxy: proxy.URL}
	c := newClient(t, Config{Egress: network.EgressAll, Proxy: through, Authorities: authority})
	if _, err := c.Resolve(t.Context(), "example.com", "app", "1"); err != nil || tunnels.Load() == 0 {
		t.Errorf("%v after %d tunnels", err, tunnels.Load())
	}
	c = newClient(t, Config{Egress: network.EgressAll, Proxy: through})
	if _, err := c.Resolve(t.Context(), "example.com", "app", "1"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("without the authority: %v", err)
	}
}
