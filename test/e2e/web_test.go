package e2e

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/names"
)

// entry is where the host serves the names of a cluster.
type entry struct {
	*rig
	cluster       string
	plain, secure string // as in status, with SERVICE.NAMESPACE
}

func (r *rig) entry(t *testing.T, cluster string) entry {
	t.Helper()
	e := entry{rig: r, cluster: cluster}
	eventually(t, waitLimit, "the web entry serves", func() error {
		status := r.status(t, cluster)
		if e.plain, e.secure = status.Web, status.WebTLS; e.plain == "" || e.secure == "" {
			return fmt.Errorf("status shows %q and %q", e.plain, e.secure)
		}
		return nil
	})
	return e
}

// at returns the URL of a Service.
func (e entry) at(base, service, namespace string) string {
	return strings.Replace(base, "SERVICE.NAMESPACE", service+"."+namespace, 1)
}

// portOf returns the port of a URL.
func portOf(t *testing.T, base string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// curl returns the status and the body of an answer. It trusts the local authority.
func (r *rig) curl(t *testing.T, args ...string) (status, body string, err error) {
	t.Helper()
	args = append([]string{"--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--write-out", "\n%{http_code}"}, args...)
	if !strings.Contains(strings.Join(args, " "), "--cacert") {
		args = append(args, "--cacert", filepath.Join(r.home, "authority/ca.crt"))
	}
	out, err := exec.CommandContext(t.Context(), "curl", args...).CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("curl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	text := strings.TrimSpace(string(out))
	i := strings.LastIndex(text, "\n")
	return text[i+1:], strings.TrimSpace(text[:max(i, 0)]), nil
}

// curls waits until a URL answers with a status and all parts.
func (r *rig) curls(t *testing.T, status string, parts []string, args ...string) {
	t.Helper()
	began := time.Now()
	eventually(t, time.Minute, strings.Join(args, " "), func() error {
		got, body, err := r.curl(t, args...)
		if err != nil {
			return err
		}
		for _, part := range append(parts, "") {
			if got != status || !strings.Contains(body, part) {
				return fmt.Errorf("want %s with %q, got %s:\n%s", status, part, got, body)
			}
		}
		return nil
	})
	t.Logf("%s answered with %s after %.1f s", strings.Join(args, " "), status, time.Since(began).Seconds())
}

// testWeb uses names, certificates, Ingresses and Gateways of a cluster from the host.
func testWeb(t *testing.T, r *rig, name string, k *kube) {
	e := r.entry(t, name)
	certificate := k.certificate(t, "shop.example.com")
	k.kubectl(t, "create", "secret", "tls", "shop-tls", "--cert", certificate, "--key", certificate)
	k.apply(t, "web.yaml")
	k.rollout(t, "deployment/shop")
	shop := e.at(e.plain, "shop", k.namespace)

	r.curls(t, "200", []string{"shop-"}, shop+"/hostname")
	r.curls(t, "200", []string{"shop-"}, e.at(e.secure, "shop", k.namespace)+"/hostname")
	r.curls(t, "200", []string{"shop-"}, strings.Replace(shop, "://", "://metrics.", 1)+"/hostname")
	for _, p := range k.pods(t, "app=shop") {
		r.curls(t, "200", []string{p.name}, shop+"/hostname")
	}
	r.curls(t, "503", []string{"no ready endpoints", "kubectl --context skiff-" + name}, e.at(e.plain, "idle", k.namespace))
	r.curls(t, "404", []string{"no Service " + k.namespace + "/shpo", "//shop." + k.namespace + "." + name + ".localhost"}, e.at(e.plain, "shpo", k.namespace))
	r.curls(t, "404", []string{"No cluster answers"}, "--header", "Host: evil.example.com", shop)
	r.curls(t, "200", []string{"gitVersion"}, e.at(e.secure, "kubernetes", "default")+"/version")
	k.tryIngress(t, e, certificate)
	k.subtest(t, "Gateway", func(t *testing.T) { k.tryGateway(t, e) })
	k.kubectl(t, "scale", "deployment/shop", "--replicas=0")
	r.curls(t, "503", []string{"no ready endpoints"}, shop)
	k.kubectl(t, "scale", "deployment/shop", "--replicas=1")
	r.curls(t, "200", []string{"shop-"}, shop+"/hostname")
}

// tryIngress uses the Ingresses of web.yaml.
func (k *kube) tryIngress(t *testing.T, e entry, certificate string) {
	t.Helper()
	eventually(t, waitLimit, "the Ingress has its addresses", func() error {
		if got := k.get(t, "ingress/shop", ".status.loadBalancer.ingress[*]"); !strings.Contains(got, e.cluster+".localhost") {
			return fmt.Errorf("status %q", got)
		}
		return nil
	})
	equal(t, "class of an Ingress without one", k.get(t, "ingress/shop", ".spec.ingressClassName"), names.IngressClass)
	equal(t, "status of an Ingress of another class", k.get(t, "ingress/foreign", ".status.loadBalancer"), "{}")
	plain, secure := portOf(t, e.plain), portOf(t, e.secure)
	shop := []string{"--resolve", "shop.example.com:" + plain + ":127.0.0.1", "http://shop.example.com:" + plain}
	at := func(path string) []string { return append(shop[:2:2], shop[2]+path) }
	k.curls(t, "200", []string{"shop-"}, at("/hostname")...)
	k.curls(t, "404", nil, at("/hostname/")...)
	k.curls(t, "503", []string{"/idle has no ready endpoints"}, at("/version/x")...)
	k.curls(t, "404", []string{"No Ingress"}, at("/other")...)
	k.curls(t, "404", []string{"No cluster answers"}, "--header", "Host: foreign.example.com", "http://127.0.0.1:"+plain)
	k.curls(t, "200", []string{"shop-"}, "http://any.shop.localhost:"+plain+"/hostname")
	k.curls(t, "200", []string{"shop-"}, "http://"+e.cluster+".localhost:"+plain+"/hostname")
	k.curls(t, "200", []string{"shop-"}, "--cacert", certificate, "--resolve", "shop.example.com:"+secure+":127.0.0.1", "https://shop.example.com:"+secure+"/hostname")

	// At the address in its status, which pods reach, any host will do.
	address := k.get(t, "ingress/shop", ".status.loadBalancer.ingress[0].ip")
	if net.ParseIP(address) == nil {
		t.Fatalf("address %q of the Ingress", address)
	}
	client := k.pods(t, "app=shop")[0].name
	k.waitForAnswers(t, client, "http://"+address+"/hostname", k.pods(t, "app=shop")[0].name, k.pods(t, "app=shop")[1].name)

	// Who writes this status can do nothing else.
	for what, want := range map[string]string{
		"patch ingresses --subresource=status": "yes", "patch ingresses": "no", "get ingresses": "no", "list services": "no", "get secrets": "no",
		"patch gateways.gateway.networking.k8s.io --subresource=status": "yes", "patch gateways.gateway.networking.k8s.io": "no",
	} {
		args := append([]string{"auth", "can-i", "--as", names.UserIngress}, strings.Fields(what)...)
		equal(t, "may "+names.UserIngress+" "+what, strings.TrimSpace(k.try(t, args...).stdout), want)
	}
}

// tryGateway uses the Gateway of gateway.yaml on the host and in the cluster.
func (k *kube) tryGateway(t *testing.T, e entry) {
	if !k.chosen {
		t.Skip("the Gateway API slows emulated machines down; SKIFF_E2E_DRIVER=lima or sandbox installs it")
	}
	certificate := k.certificate(t, "gateway.example.com")
	k.kubectl(t, "create", "secret", "tls", "gateway-tls", "--cert", certificate, "--key", certificate)
	k.apply(t, "gateway.yaml")
	eventually(t, waitLimit, "the Gateway is programmed", func() error {
		if got := k.get(t, "gateway/web", `.status.conditions[?(@.type=="Programmed")].status`); got != "True" {
			return fmt.Errorf("Programmed is %q", got)
		}
		return nil
	})
	equal(t, "class", k.get(t, "gatewayclass/"+names.GatewayClass, ".spec.controllerName"), names.GatewayController)
	plain, secure := portOf(t, e.plain), portOf(t, e.secure)
	k.curls(t, "200", []string{"shop-"}, "http://gateway.shop.localhost:"+plain+"/hostname")
	k.curls(t, "200", []string{"shop-"}, "http://gateway.shop.localhost:"+plain+"/rewritten")
	k.curls(t, "200", []string{"shop-"}, "--cacert", certificate, "--resolve", "gateway.example.com:"+secure+":127.0.0.1",
		"https://gateway.example.com:"+secure+"/hostname")

	address := k.get(t, "gateway/web", ".status.addresses[0].value")
	if net.ParseIP(address) == nil {
		t.Fatalf("address %q of the Gateway", address)
	}
	pods := k.pods(t, "app=shop")
	k.waitForAnswers(t, pods[0].name, "http://"+address+":8000/hostname", pods[0].name, pods[1].name)
	if runtime.GOOS == "linux" && os.Geteuid() == 0 {
		k.skiff(t, "network", "connect", e.cluster) // until the cluster is deleted
		k.curls(t, "200", []string{"shop-"}, "http://"+address+":8000/hostname")
		k.curls(t, "200", []string{"shop-"}, "--cacert", certificate, "--resolve", "gateway.example.com:443:"+address, "https://gateway.example.com/hostname")
	}
}

// certificate returns a file with a self-signed certificate for a host and its key.
func (k *kube) certificate(t *testing.T, host string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tls.pem")
	key := file + ".key"
	k.run(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
		"-subj", "/CN="+host, "-addext", "subjectAltName=DNS:"+host, "-keyout", key, "-out", file)
	content, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	return file
}

// testWebEntry has two clusters share the entry, and stops the one that serves it.
func testWebEntry(t *testing.T, r *rig, name string) {
	if !r.sandboxed {
		t.Skip("a second cluster takes minutes with emulation; SKIFF_E2E_DRIVER=sandbox runs it")
	}
	const neighbour = "neighbour"
	t.Cleanup(func() { r.discard(t, neighbour) })
	r.skiff(t, "up", neighbour, "--workers", "0", "--memory", "1536Mi", "--kubeconfig", "none")
	one, two := r.entry(t, name), r.entry(t, neighbour)
	version := []string{"gitVersion"}
	for _, e := range []entry{one, two} {
		for _, base := range []string{e.plain, e.secure} {
			r.curls(t, "200", version, e.at(base, "kubernetes", "default")+"/version")
		}
	}
	r.skiff(t, "stop", name)
	r.curls(t, "200", version, two.at(two.secure, "kubernetes", "default")+"/version")
	r.curls(t, "503", []string{"Cluster " + name + " is not running", "skiff up " + name}, one.at(one.plain, "kubernetes", "default"))
	r.skiff(t, "up", name)
	r.curls(t, "200", version, one.at(one.secure, "kubernetes", "default")+"/version")

	r.tryTrust(t, two.at(two.secure, "kubernetes", "default")+"/version")
}

// tryTrust installs the local authority in the system's store and removes it again, in
// a mount namespace, so that the host's own store stays as it is.
func (r *rig) tryTrust(t *testing.T, url string) {
	t.Helper()
	const script = `set -eu
for dir in /usr/local/share/ca-certificates /etc/ssl; do
  mkdir -p "$2$dir"
  cp -a "$dir/." "$2$dir"
  mount --bind "$2$dir" "$dir"
done
update-ca-certificates --fresh >/dev/null 2>&1
content() { find /etc/ssl /usr/local/share/ca-certificates | sort | sha256sum; }
before=$(content)
if curl -sS --noproxy '*' "$1"; then echo "trusted before" >&2; exit 1; fi
skiff trust install
skiff trust install | grep "already trusted"
skiff trust status | grep "yes"
curl -sS --fail --noproxy '*' "$1"
skiff trust remove
if curl -sS --noproxy '*' "$1"; then echo "trusted afterwards" >&2; exit 1; fi
skiff trust remove | grep "no store"
test "$before" = "$(content)"`
	if _, err := exec.LookPath("update-ca-certificates"); err != nil {
		t.Skip("the host has no update-ca-certificates")
	}
	// The namespace has the host's home directory and none of its browsers.
	env := []string{"HOME=" + t.TempDir(), "PATH=" + filepath.Join(r.root, "bin") + ":" + os.Getenv("PATH"), "SKIFF_HOME=" + r.home}
	args := append([]string{"--mount", "env"}, env...)
	a := r.run(t, "unshare", append(args, "sh", "-c", script, "sh", url, t.TempDir())...)
	if a.code != 0 {
		t.Errorf("trust: exit code %d\n%s%s", a.code, a.stdout, a.stderr)
	}
	contains(t, "the answer to a client that trusts the system's store", a.stdout, "gitVersion")
}
