package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 5280 section 4.2.1.2 names SHA-1 for key identifiers; nothing is trusted by it
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// leaf describes a certificate to make. If neither server nor client is set it is a
// client certificate.
type leaf struct {
	path, authority string
	name            string
	groups          []string
	server, client  bool
	dns             []string
	ips             []net.IP
}

func (f Files) makeAuthority(path, name string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	identifier, err := keyIdentifier(key.Public())
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(AuthorityLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          identifier,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	return f.put(path, der, key)
}

func (f Files) makeLeaf(authorities Files, l leaf, lifetime time.Duration, now time.Time) error {
	authority, err := parseCertificate(authorities[l.authority+".crt"])
	if err != nil {
		return fmt.Errorf("read %s.crt: %w", l.authority, err)
	}
	signer, err := parseKey(authorities[l.authority+".key"])
	if err != nil {
		return fmt.Errorf("read %s.key: %w", l.authority, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	notAfter := now.Add(lifetime)
	if notAfter.After(authority.NotAfter) {
		notAfter = authority.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: l.name, Organization: l.groups},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           l.usages(),
		BasicConstraintsValid: true,
		AuthorityKeyId:        authority.SubjectKeyId, // CreateCertificate leaves it out if the names are equal
		DNSNames:              l.dns,
		IPAddresses:           l.ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), signer)
	if err != nil {
		return err
	}
	return f.put(l.path, der, key)
}

func (f Files) makeServiceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := encodeKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	f["sa.key"] = private
	f["sa.pub"] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	return nil
}

func (f Files) put(path string, der []byte, key *ecdsa.PrivateKey) error {
	private, err := encodeKey(key)
	if err != nil {
		return err
	}
	f[path+".crt"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	f[path+".key"] = private
	return nil
}

// encodeKey encodes a key as SEC 1 ("EC PRIVATE KEY"), which the controller
// manager's signers read.
func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func parseCertificate(content []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM certificate found")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(content []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "EC PRIVATE KEY" {
		return nil, errors.New("no PEM EC private key found")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

func parsePublicKey(content []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("no PEM public key found")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// publicKey returns the public key in a certificate, or that of ServiceAccounts.
func publicKey(name string, content []byte) (crypto.PublicKey, error) {
	if name == ServiceAccounts {
		return parsePublicKey(content)
	}
	certificate, err := parseCertificate(content)
	if err != nil {
		return nil, err
	}
	return certificate.PublicKey, nil
}

func keyIdentifier(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(der) //nolint:gosec // see the import
	return sum[:], nil
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}
