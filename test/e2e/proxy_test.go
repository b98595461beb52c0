package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	host "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/skiff-dev/skiff/internal/splice"
)

// corporate is a network that is reached only through a forward proxy: a registry
// whose certificate is of a private authority, and a web site.
type corporate struct {
	proxy  string // HOST:PORT on the host's loopback
	bundle string // file with the authority
	client *http.Client

	registry string // its address, which only the proxy knows
	mu       sync.Mutex
	asked    []string
}

const (
	corporateRegistry = "registry.corp.example"
	corporateSite     = "plain.corp.example"
)

func newCorporate(t *testing.T) *corporate {
	t.Helper()
	c := &corporate{bundle: filepath.Join(t.TempDir(), "corp.pem")}
	pair, roots := privateAuthority(t, c.bundle, corporateRegistry)
	registry := httptest.NewUnstartedServer(host.New(host.Logger(log.New(io.Discard, "", 0))))
	registry.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	registry.StartTLS()
	t.Cleanup(registry.Close)
	c.registry = registry.Listener.Addr().String()
	proxy := httptest.NewServer(c)
	t.Cleanup(proxy.Close)
	c.proxy = proxy.Listener.Addr().String()
	through := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: c.proxy}),
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	t.Cleanup(through.CloseIdleConnections)
	c.client = &http.Client{Transport: through}
	return c
}

// ServeHTTP implements a forward proxy (RFC 9110, section 9.3.6).
func (c *corporate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked = append(c.asked, r.Host)
	c.mu.Unlock()
	switch {
	case r.Method == http.MethodConnect && r.Host == corporateRegistry+":443":
		outside, err := net.Dial("tcp", c.registry)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		// The server reads ahead until then, so nothing may be answered before.
		inside, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(inside, "HTTP/1.1 200 Connection established\r\n\r\n")
		splice.Both(inside, outside)
		_, _ = inside.Close(), outside.Close()
	case r.Method == http.MethodGet && r.URL.Host == corporateSite:
		_, _ = fmt.Fprintln(w, "hello from the corporate network")
	default:
		http.Error(w, "not in this network", http.StatusForbidden)
	}
}

// seen returns what the proxy was asked for since the last call, without repetitions.
func (c *corporate) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := slices.Compact(slices.Sorted(slices.Values(c.asked)))
	c.asked = nil
	return asked
}

// push pushes an image through the proxy and returns its name.
func (c *corporate) push(t *testing.T, repository string, image v1.Image) string {
	t.Helper()
	full := corporateRegistry + "/" + repository
	ref, err := name.ParseReference(full)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithTransport(c.client.Transport), remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	c.seen()
	return full
}

// privateAuthority writes a new authority to a file and returns a certificate that it
// has issued for a name.
func privateAuthority(t *testing.T, file, dns string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "corp"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root, rootKey := issue(authority, authority, nil)
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root})
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
	leaf, key := issue(&x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{dns}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, authority, rootKey)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(content)
	return tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}, roots
}

// testProxy gives a running cluster a proxy on the host's loopback and a private
// authority, and takes them away again.
func testProxy(t *testing.T, r *rig, name string, k *kube) {
	corp, base := newCorporate(t), r.busybox(t)
	badProxies(t, r, name, corp.bundle)
	k.startInside(t, "before")
	r.skiff(t, "up", name, "--http-proxy", "http://"+corp.proxy, "--https-proxy", "http://"+corp.proxy, "--no-proxy", "none",
		"--pod-proxy", "--ca-bundle", corp.bundle, "--kubeconfig", "none")
	registry := []string{corporateRegistry + ":443"}
	onlyRegistry := func(what string) {
		t.Helper()
		if got := corp.seen(); !slices.Equal(got, registry) {
			t.Errorf("%s: the proxy was asked for %q, want %q", what, got, registry)
		}
	}

	k.runs(t, "by-registry", k.workers[0].name, corp.push(t, "team/tool:1", changed(t, base)))
	onlyRegistry("pull through the user's registry")

	r.subtest(t, "Pods", func(t *testing.T) { testPodProxy(t, corp, k) })

	// Without the user's registry, containerd itself needs the proxy and the authority.
	r.skiff(t, "registry", "stop")
	corp.seen()
	k.runs(t, "by-containerd", k.workers[1].name, corp.push(t, "team/tool:2", changed(t, base)))
	onlyRegistry("pull by containerd")
	a := r.trySkiff(t, "nerdctl", "--cluster", name, k.workers[1].name, "--", "pull", "--quiet", corp.push(t, "team/tool:3", changed(t, base)))
	equal(t, "exit code of nerdctl pull: "+a.stderr, a.code, 0)
	r.skiff(t, "restart", "--cluster", name, k.workers[0].name)
	k.runs(t, "restarted", k.workers[0].name, corp.push(t, "team/tool:4", changed(t, base)))
	r.skiff(t, "up", name, "--workers", "3", "--kubeconfig", "none")
	k.runs(t, "joined", "worker-3", corp.push(t, "team/tool:5", changed(t, base)))
	r.skiff(t, "up", name, "--workers", "2", "--kubeconfig", "none")
	equal(t, "containers that restarted with containerd", k.get(t, "pod/before", ".status.containerStatuses[0].restartCount"), "0")

	// And back.
	r.skiff(t, "up", name, "--http-proxy", "", "--https-proxy", "none", "--no-proxy", "", "--pod-proxy=false", "--ca-bundle", "", "--kubeconfig", "none")
	eventually(t, waitLimit, "the ConfigMap loses the authorities", func() error {
		if got := k.get(t, "configmap/corp-ca", ".data"); got != `{"own":"stays"}` {
			return fmt.Errorf("it has %s", got)
		}
		return nil
	})
	for _, n := range k.nodes {
		out := r.skiff(t, "shell", "--cluster", name, n.name, "--", "sh", "-c", "cat /run/skiff/proxy.env; ls /etc/ssl/certs; env")
		if strings.Contains(out, corp.proxy[strings.LastIndex(corp.proxy, ":"):]) || strings.Contains(out, "skiff-host.pem") {
			t.Errorf("%s keeps the proxy or the authority:\n%s", n.name, out)
		}
	}
}

// askProxy is a shell script that asks the proxy in the environment for the site. nc
// closes the connection with its input.
const askProxy = `at=${http_proxy#http://}; { printf 'GET http://` + corporateSite + `/ HTTP/1.0\r\n\r\n'; sleep 1; } | nc -w 5 ${at%:*} ${at#*:}`

// testPodProxy checks the variables of new pods, and that the cluster itself is
// reached without the proxy.
func testPodProxy(t *testing.T, corp *corporate, k *kube) {
	_, port, _ := net.SplitHostPort(corp.proxy)
	k.kubectl(t, "create", "configmap", "corp-ca", "--from-literal", "own=stays")
	k.kubectl(t, "label", "configmap", "corp-ca", "skiff.dev/inject-ca-bundle=true")
	bundle, err := os.ReadFile(corp.bundle)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, waitLimit, "a ConfigMap gets the authorities", func() error {
		if got := k.get(t, "configmap/corp-ca", `.data.ca-bundle\.crt`); strings.TrimSpace(got) != strings.TrimSpace(string(bundle)) {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
	eventually(t, waitLimit, "new pods get the variables", func() error {
		k.kubectl(t, "delete", "pod", "after", "--ignore-not-found", "--force")
		k.kubectl(t, "run", "after", "--image=skiff.test/workload:1", "--restart=Never", "--env", "NO_PROXY=own.example",
			"--overrides", `{"spec":{"terminationGracePeriodSeconds":1}}`)
		if env := k.get(t, "pod/after", ".spec.containers[0].env[*].name"); !strings.Contains(env, "https_proxy") {
			return fmt.Errorf("variables: %s", env)
		}
		return nil
	})
	k.wait(t, "condition=Ready", "pod/after")
	env := k.sh(t, "after", "env")
	contains(t, "environment", env, "HTTPS_PROXY=http://192.168.104.4:"+port, "http_proxy=http://192.168.104.4:"+port, "NO_PROXY=own.example\n", "no_proxy=localhost,")
	corp.seen()
	contains(t, "answer through the proxy", k.sh(t, "after", askProxy), "hello from the corporate network")
	if got, want := corp.seen(), []string{corporateSite}; !slices.Equal(got, want) {
		t.Errorf("the proxy was asked for %q, want %q", got, want)
	}
}

// badProxies checks that bad input changes nothing.
func badProxies(t *testing.T, r *rig, name, bundle string) {
	t.Helper()
	broken := filepath.Join(t.TempDir(), "broken.pem")
	content, err := os.ReadFile(bundle)
	if err == nil {
		err = os.WriteFile(broken, content[:len(content)/2], 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		`invalid proxy.https: the scheme "ftp" is unknown`: {"--https-proxy", "ftp://proxy.example"},
		"no such file or directory":                        {"--ca-bundle", filepath.Join(t.TempDir(), "missing.pem")},
		"broken.pem: ":                                     {"--ca-bundle", broken},
		"it is not a file":                                 {"--ca-bundle", t.TempDir()},
	} {
		a := r.trySkiff(t, append([]string{"up", name}, args...)...)
		equal(t, "exit code of "+strings.Join(args, " "), a.code, 2)
		contains(t, "message", a.stderr, want)
		equal(t, "lines of "+a.stderr, strings.Count(a.stderr, "\n"), 1)
	}
}
