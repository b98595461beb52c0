package authority

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T) *Authority {
	t.Helper()
	a, err := Open(filepath.Join(t.TempDir(), "authority"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issuer(t *testing.T, a *Authority) *Issuer {
	t.Helper()
	i, err := NewIssuer(a)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestAuthorityIsCreatedOnceAndItsKeyIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home", "authority")
	if _, err := Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("read before it was made: %v", err)
	}
	var all sync.WaitGroup
	found := make([]string, 8)
	for i := range found {
		all.Go(func() {
			a, err := Open(dir, time.Now())
			if err != nil {
				t.Error(err)
				return
			}
			found[i] = a.Fingerprint()
		})
	}
	all.Wait()
	for _, one := range found {
		if one != found[0] {
			t.Errorf("several authorities: %v", found)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info, err)
	}
}

func TestDamagedAuthorityIsNotReplaced(t *testing.T) {
	a := open(t)
	if err := os.WriteFile(filepath.Join(filepath.Dir(a.File()), "ca.key"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Dir(a.File()), time.Now()); err == nil {
		t.Error("opened")
	}
}

func TestCertificatesAreAcceptedForTheirNameOnly(t *testing.T) {
	a := open(t)
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	now := time.Now()
	for _, name := range []string{"localhost", "web.default.dev.localhost"} {
		c, err := issuer(t, a).Certificate(name, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "other.localhost"}); err == nil {
			t.Errorf("%s is accepted for another name", name)
		}
		if life := c.Leaf.NotAfter.Sub(now); life > 8*24*time.Hour {
			t.Errorf("%s is valid for %s", name, life)
		}
	}
	for _, name := range []string{"example.com", "notlocalhost", "localhost.example.com", ""} {
		if _, err := issuer(t, a).Certificate(name, now); err == nil {
			t.Errorf("a certificate for %q", name)
		}
	}
}

// TestStolenKeyCannotImitateOtherHosts signs with the key itself.
func TestStolenKeyCannotImitateOtherHosts(t *testing.T) {
	a := open(t)
	i := issuer(t, a)
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	for _, name := range []string{"example.com", "localhost.example.com"} {
		c, err := a.sign(name, i.key, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		excluded := false
		for _, r := range a.Certificate().ExcludedIPRanges {
			excluded = excluded || r.Contains(net.ParseIP(ip))
		}
		if !excluded {
			t.Errorf("%s is not excluded", ip)
		}
	}
	leaf, err := i.Certificate("localhost", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Leaf.IsCA || a.Certificate().MaxPathLen != 0 || !a.Certificate().MaxPathLenZero {
		t.Error("a leaf could sign")
	}
}

func TestTLSConnectionSucceeds(t *testing.T) {
	a := open(t)
	i := issuer(t, a)
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	client, server := net.Pipe()
	go func() {
		s := tls.Server(server, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return i.Certificate(h.ServerName, time.Now())
		}})
		_ = s.Handshake()
	}()
	c := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: "web.default.dev.localhost"})
	if err := c.Handshake(); err != nil {
		t.Error(err)
	}
}

func TestCertificatesAreKeptRenewedAndBounded(t *testing.T) {
	i := issuer(t, open(t))
	now := time.Now()
	get := func(name string, at time.Time) *tls.Certificate {
		c, err := i.Certificate(name, at)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := get("a.localhost", now)
	if get("a.localhost", now.Add(leafLifetime/3)) != first {
		t.Error("it was made again")
	}
	if get("a.localhost", now.Add(leafLifetime*2/3)) == first {
		t.Error("it was not renewed")
	}
	for n := range maxIssued + 10 {
		get(fmt.Sprintf("n%d.localhost", n), now.Add(leafLifetime*2/3+time.Duration(n)*time.Second))
	}
	if len(i.issued) != maxIssued {
		t.Errorf("%d certificates are kept", len(i.issued))
	}
	if _, kept := i.issued["a.localhost"]; kept {
		t.Error("the one that was not used for the longest time is kept")
	}
}
