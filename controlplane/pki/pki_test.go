package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
	"github.com/skiff-dev/skiff/internal/names"
)

var (
	now  = time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC)
	node = Node{
		Cluster: "skiff", Name: "control-plane-1", Address: netip.MustParseAddr("192.168.104.11"),
		ServiceAddress: netip.MustParseAddr("10.96.0.1"), Domain: "cluster.local",
	}
)

func authorities(t *testing.T) Files {
	t.Helper()
	files, err := Authorities(now)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func verify(t *testing.T, files Files, path, authority, name string, usage x509.ExtKeyUsage) *x509.Certificate {
	t.Helper()
	certificate, err := parseCertificate(files[path+".crt"])
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(files[authority+".crt"])
	if _, err := certificate.Verify(x509.VerifyOptions{
		Roots: roots, DNSName: name, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage},
	}); err != nil {
		t.Errorf("%s by %s for %q: %v", path, authority, name, err)
	}
	if _, err := tls.X509KeyPair(files[path+".crt"], files[path+".key"]); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return certificate
}

func TestControlPlaneHasTheCertificatesThatItUses(t *testing.T) {
	auth := authorities(t)
	files, err := ControlPlane(auth, node, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"127.0.0.1", "localhost", "192.168.104.11", "10.96.0.1", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	} {
		verify(t, files, "apiserver", "ca", name, x509.ExtKeyUsageServerAuth)
	}
	verify(t, files, "etcd/server", "etcd/ca", "127.0.0.1", x509.ExtKeyUsageServerAuth)
	verify(t, files, "etcd/peer", "etcd/ca", "192.168.104.11", x509.ExtKeyUsageClientAuth)
	verify(t, files, "apiserver-etcd-client", "etcd/ca", "", x509.ExtKeyUsageClientAuth)
	verify(t, files, "front-proxy-client", "front-proxy-ca", "", x509.ExtKeyUsageClientAuth)
	kubelets := verify(t, files, "apiserver-kubelet-client", "ca", "", x509.ExtKeyUsageClientAuth)
	if !slices.Equal(kubelets.Subject.Organization, []string{names.GroupKubeletClients}) {
		t.Errorf("kubelet client is in groups %v", kubelets.Subject.Organization)
	}
}

func TestNodesGetOnlyTheKeysThatTheyNeed(t *testing.T) {
	auth := authorities(t)
	worker, err := Worker(auth, node, now)
	if err != nil {
		t.Fatal(err)
	}
	controlPlane, err := ControlPlane(auth, node, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"ca.key", "sa.key", "encryption.yaml", "keyring.json", "etcd/ca.key", "front-proxy-ca.key", "host-ca.key"} {
		if _, ok := worker[secret]; ok {
			t.Errorf("a worker is handed %s", secret)
		}
	}
	for _, secret := range []string{"keyring.json", "etcd/ca.key", "front-proxy-ca.key", "host-ca.key"} {
		if _, ok := controlPlane[secret]; ok {
			t.Errorf("a control plane is handed %s", secret)
		}
	}
}

func TestClusterCertificatesDoNotOpenTheNodeAPI(t *testing.T) {
	auth := authorities(t)
	host, err := Host(auth, now)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, host, "host", "host-ca", "", x509.ExtKeyUsageClientAuth)
	admin := verify(t, host, "admin", "ca", "", x509.ExtKeyUsageClientAuth)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(auth["host-ca.crt"])
	if _, err := admin.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("the host authority vouches for a cluster certificate")
	}
}

func TestClientIsValidForItsLifetimeOnly(t *testing.T) {
	certificate, _, err := Client(authorities(t), "jane", []string{"dev"}, 8*time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	if got := parsed.NotAfter; !got.Equal(now.Add(8 * time.Hour)) {
		t.Errorf("ends %s", got)
	}
	if parsed.Subject.CommonName != "jane" || !slices.Equal(parsed.Subject.Organization, []string{"dev"}) {
		t.Errorf("subject is %s", parsed.Subject)
	}
	if _, _, err := Client(authorities(t), "", nil, time.Hour, now); err == nil {
		t.Error("a client certificate without a user was made")
	}
}

func TestStaleAfterHalfOfItsLife(t *testing.T) {
	certificate, _, err := Client(authorities(t), "jane", nil, 10*time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at    time.Time
		stale bool
	}{{now, false}, {now.Add(4 * time.Hour), false}, {now.Add(6 * time.Hour), true}, {now.Add(-2 * time.Hour), true}} {
		if got := Stale(certificate, c.at); got != c.stale {
			t.Errorf("at %s stale is %v", c.at, got)
		}
	}
	if !Stale([]byte("no certificate"), now) {
		t.Error("content that is not a certificate is not stale")
	}
}

func FuzzStaleNeverPanics(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(_ *testing.T, content []byte) { Stale(content, now) })
}

func TestOnlyControlPlanesGetACertificateForTheCloud(t *testing.T) {
	auth := authorities(t)
	controlPlane, err := ControlPlane(auth, node, now)
	if err != nil {
		t.Fatal(err)
	}
	client := verify(t, controlPlane, "cloud-client", "cloud-ca", "", x509.ExtKeyUsageClientAuth)
	if client.Subject.CommonName != node.Name {
		t.Errorf("the client is %q", client.Subject.CommonName)
	}
	host, err := Host(auth, now)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, Merge(auth, host), "cloud-server", "cloud-ca", cloudapi.ServerName, x509.ExtKeyUsageServerAuth)
	worker, err := Worker(auth, node, now)
	if err != nil {
		t.Fatal(err)
	}
	for path := range worker {
		if strings.HasPrefix(path, "cloud-") {
			t.Errorf("a worker is handed %s", path)
		}
	}
	if _, ok := controlPlane["cloud-ca.key"]; ok {
		t.Error("a control plane is handed the authority's key")
	}
	for _, other := range []string{"ca", "host-ca", "etcd/ca", "front-proxy-ca"} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(auth[other+".crt"])
		if _, err := client.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
			t.Errorf("authority %s vouches for the certificate", other)
		}
	}
}

func TestAuthoritiesOfEarlierReleasesAreCompletedOnce(t *testing.T) {
	auth := authorities(t)
	if added, err := AddedAuthorities(auth, now); err != nil || len(added) > 0 {
		t.Errorf("complete authorities: %d more, %v", len(added), err)
	}
	for _, lost := range []string{"cloud-ca.crt", "cloud-ca.key"} {
		old := Merge(auth)
		delete(old, lost)
		added, err := AddedAuthorities(old, now)
		if err != nil || len(added) != 2 {
			t.Fatalf("without %s: %d files, %v", lost, len(added), err)
		}
		if _, err := Host(Merge(old, added), now); err != nil {
			t.Errorf("without %s: %v", lost, err)
		}
	}
}
