package approver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/controlplane/inventory"
)

var machines = inventory.Inventory{
	Subnet: netip.MustParsePrefix("192.168.104.0/24"),
	Addresses: map[string]netip.Addr{
		"control-plane-1": netip.MustParseAddr("192.168.104.11"),
		"worker-1":        netip.MustParseAddr("192.168.104.21"),
	},
}

func nodeAt(addresses ...string) *corev1.Node {
	n := &corev1.Node{}
	for _, a := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return n
}

// request is a correct request of worker-1 unless edited.
func request(t testing.TB, edit func(*x509.CertificateRequest, *certificatesv1.CertificateSigningRequestSpec)) certificatesv1.CertificateSigningRequestSpec {
	t.Helper()
	spec := certificatesv1.CertificateSigningRequestSpec{
		SignerName: certificatesv1.KubeletServingSignerName,
		Username:   "system:node:worker-1", Groups: []string{"system:nodes", "system:authenticated"},
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
	}
	template := &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "system:node:worker-1", Organization: []string{"system:nodes"}},
		DNSNames:    []string{"worker-1"},
		IPAddresses: []net.IP{net.ParseIP("192.168.104.21")},
	}
	if edit != nil {
		edit(template, &spec)
	}
	if spec.Request == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
		if err != nil {
			t.Fatal(err)
		}
		spec.Request = pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	}
	return spec
}

func TestDecide(t *testing.T) {
	type (
		csr  = x509.CertificateRequest
		spec = certificatesv1.CertificateSigningRequestSpec
	)
	as := func(r *csr, s *spec, name string) {
		s.Username, r.Subject.CommonName, r.DNSNames = "system:node:"+name, "system:node:"+name, []string{name}
	}
	known := nodeAt("192.168.104.21")
	for _, tt := range []struct {
		name   string
		edit   func(*csr, *spec)
		node   *corev1.Node
		want   Verdict
		reason string
	}{
		{"a node's own names", nil, known, Approve, "worker-1"},
		{"with key encipherment", func(_ *csr, s *spec) { s.Usages = append(s.Usages, certificatesv1.UsageKeyEncipherment) }, known, Approve, ""},
		{"name only", func(r *csr, _ *spec) { r.IPAddresses = nil }, known, Approve, ""},
		{"a node that joined later", func(r *csr, s *spec) {
			as(r, s, "worker-9")
			r.IPAddresses = []net.IP{net.ParseIP("192.168.104.29")}
		}, nodeAt("192.168.104.29"), Approve, ""},

		{"node not registered yet", nil, nil, Wait, "not registered"},
		{"later node without its address yet", func(r *csr, s *spec) {
			as(r, s, "worker-9")
			r.IPAddresses = []net.IP{net.ParseIP("192.168.104.29")}
		}, nodeAt(), Wait, "does not have"},
		{"another signer", func(_ *csr, s *spec) { s.SignerName = certificatesv1.KubeAPIServerClientKubeletSignerName }, known, Wait, "another signer"},

		{"not a node", func(_ *csr, s *spec) { s.Username = "alice" }, known, Deny, "not a node"},
		{"empty node name", func(_ *csr, s *spec) { s.Username = "system:node:" }, known, Deny, "not a node"},
		{"not in the group of nodes", func(_ *csr, s *spec) { s.Groups = []string{"system:authenticated"} }, known, Deny, "not a node"},
		{"another node's common name", func(r *csr, _ *spec) { r.Subject.CommonName = "system:node:worker-2" }, known, Deny, "common name"},
		{"an administrator's organization", func(r *csr, _ *spec) { r.Subject.Organization = []string{"system:masters"} }, known, Deny, "organization"},
		{"two organizations", func(r *csr, _ *spec) { r.Subject.Organization = []string{"system:nodes", "system:masters"} }, known, Deny, "organization"},
		{"another node's name", func(r *csr, _ *spec) { r.DNSNames = append(r.DNSNames, "worker-2") }, known, Deny, "worker-2"},
		{"a service's name", func(r *csr, _ *spec) { r.DNSNames = []string{"kubernetes.default.svc"} }, known, Deny, "kubernetes"},
		{"a wildcard", func(r *csr, _ *spec) { r.DNSNames = []string{"*"} }, known, Deny, ""},
		{"another node's address", func(r *csr, _ *spec) { r.IPAddresses = []net.IP{net.ParseIP("192.168.104.11")} }, nodeAt("192.168.104.11"), Deny, "not that of node"},
		{"a later node takes a known address", func(r *csr, s *spec) {
			as(r, s, "worker-9")
			r.IPAddresses = []net.IP{net.ParseIP("192.168.104.11")}
		}, nodeAt("192.168.104.11"), Deny, "control-plane-1"},
		{"a later node outside the subnet", func(r *csr, s *spec) {
			as(r, s, "worker-9")
			r.IPAddresses = []net.IP{net.ParseIP("10.96.0.1")}
		}, nodeAt("10.96.0.1"), Deny, "outside"},
		{"loopback", func(r *csr, _ *spec) { r.IPAddresses = append(r.IPAddresses, net.ParseIP("127.0.0.1")) }, known, Deny, ""},
		{"nothing", func(r *csr, _ *spec) { r.DNSNames, r.IPAddresses = nil, nil }, known, Deny, "no DNS name"},
		{"e-mail", func(r *csr, _ *spec) { r.EmailAddresses = []string{"a@b"} }, known, Deny, "e-mail"},
		{"URI", func(r *csr, _ *spec) { r.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }, known, Deny, "URI"},
		{"client use", func(_ *csr, s *spec) { s.Usages = append(s.Usages, certificatesv1.UsageClientAuth) }, known, Deny, "client auth"},
		{"no serving use", func(_ *csr, s *spec) { s.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature} }, known, Deny, "server auth"},
		{"not PEM", func(_ *csr, s *spec) { s.Request = []byte("hello") }, known, Deny, "PEM"},
		{"not a request", func(_ *csr, s *spec) {
			s.Request = pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: []byte("x")})
		}, known, Deny, "parse the request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Decide(request(t, tt.edit), tt.node, machines)
			if got.Verdict != tt.want || !strings.Contains(got.Reason, tt.reason) {
				t.Fatalf("got %+v", got)
			}
		})
	}
}

func TestTwoRequestsInOneAreDenied(t *testing.T) {
	s := request(t, nil)
	s.Request = append(s.Request, s.Request...)
	if got := Decide(s, nodeAt("192.168.104.21"), machines); got.Verdict != Deny {
		t.Fatalf("%+v", got)
	}
}

func FuzzDecide(f *testing.F) {
	f.Add(request(f, nil).Request, "system:node:worker-1", "server auth")
	f.Fuzz(func(t *testing.T, encoded []byte, user, usage string) {
		s := certificatesv1.CertificateSigningRequestSpec{
			SignerName: certificatesv1.KubeletServingSignerName, Username: user, Groups: []string{"system:nodes"},
			Usages: []certificatesv1.KeyUsage{certificatesv1.KeyUsage(usage)}, Request: encoded,
		}
		if Decide(s, nodeAt("192.168.104.21"), machines).Verdict != Approve {
			return
		}
		r, err := parse(encoded)
		if err != nil || r.Subject.CommonName != user || usage != "server auth" {
			t.Fatalf("approved %q for %q: %v", user, usage, err)
		}
		for _, ip := range r.IPAddresses {
			if user == "system:node:worker-1" && ip.String() != "192.168.104.21" {
				t.Fatalf("approved address %s", ip)
			}
		}
	})
}
