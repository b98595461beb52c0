package e2e

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/home"
)

// testExpiredCertificates replaces all certificates of a stopped cluster by ones
// that were issued two years ago, and starts the cluster.
func testExpiredCertificates(t *testing.T, r *rig, name string, k *kube) {
	k = k.in(t)
	k.kubectl(t, "create", "secret", "generic", "hidden", "--from-literal", "k=kept")
	k.kubectl(t, "create", "configmap", "plain", "--from-literal", "k=kept")
	dir := home.Home(r.home).Cluster(name).PKI()
	then := time.Now().AddDate(-2, 0, 0)
	authorities, err := pki.ReadFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	old := map[string][]byte{}
	for _, authority := range []string{"ca", "front-proxy-ca", "etcd/ca", "host-ca"} {
		old[authority+".crt"] = backdated(t, authorities[authority+".crt"], authorities[authority+".key"], then)
		authorities[authority+".crt"] = old[authority+".crt"]
	}
	host, err := pki.Host(authorities, then)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"admin.crt", "admin.key", "host.crt", "host.key"} {
		old[file] = host[file]
	}
	r.skiff(t, "stop", name)
	for file, content := range old {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	a := r.trySkiff(t, "up", name)
	t.Logf("up with expired certificates: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		r.dump(t, name)
		t.FailNow()
	}
	for _, n := range r.running(t, name).Nodes {
		equal(t, n.Name+" is Ready", n.Ready, "True")
		for _, file := range []string{nodeconfig.PKIDir + "/kubelet.crt", nodeconfig.PKIDir + "/kubelet-server.crt"} {
			eventually(t, waitLimit, n.Name+" has a new "+file, func() error {
				out := r.skiff(t, "shell", "--cluster", name, n.Name, "--", "cat", file)
				return valid([]byte(out), time.Now())
			})
		}
	}
	equal(t, "the secret", k.kubectl(t, "get", "secret", "hidden", "-o", "jsonpath={.data.k}"), "a2VwdA==")
	equal(t, "the configmap", k.kubectl(t, "get", "configmap", "plain", "-o", "jsonpath={.data.k}"), "kept")
	// Nodes run pods, and the API server reaches their kubelets.
	k.kubectl(t, "run", "later", "--image=skiff.test/workload:1", "--restart=Never", "--overrides", `{"spec":{"terminationGracePeriodSeconds":1}}`)
	k.wait(t, "condition=Ready", "pod/later")
	equal(t, "a program in a pod", k.kubectl(t, "exec", "later", "--", "hostname"), "later\n")
}

// backdated returns a CA certificate with the same key, issued at then.
func backdated(t *testing.T, certificate, key []byte, then time.Time) []byte {
	t.Helper()
	parsed, err := firstCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(key)
	signer, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	life := parsed.NotAfter.Sub(parsed.NotBefore)
	parsed.NotBefore, parsed.NotAfter = then, then.Add(life)
	der, err := x509.CreateCertificate(rand.Reader, parsed, parsed, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// firstCertificate returns the first certificate in PEM data.
func firstCertificate(content []byte) (*x509.Certificate, error) {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, fmt.Errorf("no certificate in %d bytes", len(content))
}

func valid(content []byte, now time.Time) error {
	certificate, err := firstCertificate(content)
	if err == nil && now.After(certificate.NotAfter) {
		err = fmt.Errorf("the certificate expired at %s", certificate.NotAfter)
	}
	return err
}
