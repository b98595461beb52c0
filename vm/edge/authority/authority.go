// Package authority is the user's local certificate authority for names below
// localhost. Its certificate permits no other names, so even a thief of its key cannot
// imitate any host on the network.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// Lifetimes. Leaves are short-lived, because they are made on demand.
const (
	lifetime     = 10 * 365 * 24 * time.Hour
	leafLifetime = 7 * 24 * time.Hour
	backdate     = time.Hour
)

// domain is the only domain whose names the authority may sign.
const domain = "localhost"

// Files of an authority's directory.
const (
	certificateFile = "ca.crt"
	keyFile         = "ca.key"
)

// Authority signs certificates.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string
}

// Read reads the authority in dir, and creates nothing. The error wraps fs.ErrNotExist
// if it does not exist.
func Read(dir string) (*Authority, error) {
	file := filepath.Join(dir, certificateFile)
	certificatePEM, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the local certificate authority: %w", err)
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("read the local certificate authority: %w", err)
	}
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("read the local certificate authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("read the local certificate authority: %s is not an authority with an ECDSA key", file)
	}
	return &Authority{certificate: pair.Leaf, key: key, file: file}, nil
}

// Open reads the authority in dir, and creates it if it does not exist. Several
// processes may call it at once.
func Open(dir string, now time.Time) (*Authority, error) {
	a, err := Read(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	files, err := create(now)
	if err != nil {
		return nil, fmt.Errorf("create the local certificate authority: %w", err)
	}
	if err := atomicfile.WriteTree(dir, files); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create the local certificate authority: %w", err)
	}
	return Read(dir) // which another process may have written
}

func create(now time.Time) (map[string][]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	name := "Skiff local CA"
	if host, err := os.Hostname(); err == nil {
		name += " of " + host
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Skiff"}, CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		// Kinds of names that are not constrained are permitted (RFC 5280, section 4.2.1.10).
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{domain},
		ExcludedIPRanges: []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		},
	}
	if template.SerialNumber, err = serial(); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		certificateFile: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		keyFile:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

func serial() (*big.Int, error) {
	number := make([]byte, 16)
	if _, err := rand.Read(number); err != nil {
		return nil, err
	}
	number[0] &= 0x7f // positive
	return new(big.Int).SetBytes(number), nil
}

// File is the authority's certificate in PEM.
func (a *Authority) File() string { return a.file }

// Certificate is the authority's certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// Fingerprint returns the first 16 digits of the certificate's SHA-256 sum.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.certificate.Raw)
	return hex.EncodeToString(sum[:8])
}

// sign makes a certificate for one name below localhost, or localhost itself.
func (a *Authority) sign(name string, key *ecdsa.PrivateKey, now time.Time) (*tls.Certificate, error) {
	number, err := serial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: number,
		NotBefore:    now.Add(-backdate), NotAfter: now.Add(leafLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, DNSNames: []string{name},
	}
	if template.NotAfter.After(a.certificate.NotAfter) {
		template.NotAfter = a.certificate.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", name, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %s: %w", name, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
