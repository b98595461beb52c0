package kubelet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestOnlyForeignServingCertificatesAreRemoved(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	for _, test := range []struct {
		name   string
		signer authority
		node   string
		kept   bool
	}{
		{"ours", ours, "worker-1", true},
		{"another cluster's", theirs, "worker-1", false},
		{"another node's", ours, "worker-2", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			k := Kubelet{Node: nodeconfig.Node{Name: "worker-1"}, Paths: Paths{Root: dir, ClientCA: filepath.Join(dir, "ca.crt")}}
			write(t, k.Paths.ClientCA, ours.pem)
			write(t, k.servingCertificate(), test.signer.sign(t, names.UserNodePrefix+test.node))
			if err := k.removeForeignCertificates(); err != nil {
				t.Fatal(err)
			}
			if exists(t, k.servingCertificate()) != test.kept {
				t.Errorf("kept: %v, want %v", !test.kept, test.kept)
			}
		})
	}
}

func TestClientCertificatesOfAnEarlierReleaseAreRemoved(t *testing.T) {
	dir, ours := t.TempDir(), newAuthority(t)
	k := Kubelet{Node: nodeconfig.Node{Name: "worker-1"}, Paths: Paths{Root: dir}}
	old := filepath.Join(k.Paths.certificates(), "kubelet-client-current.pem")
	write(t, old, ours.sign(t, names.UserNodePrefix+"worker-1"))
	if err := k.removeForeignCertificates(); err != nil {
		t.Fatal(err)
	}
	if exists(t, old) {
		t.Error("the kubelet's old client certificate is still there")
	}
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a authority) sign(t *testing.T, name string) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
