package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Authority is one of the cluster's authorities or keys, without its private key.
type Authority struct {
	// Name is one of RotationNames.
	Name string
	// Subject is empty for a key.
	Subject string
	Expires time.Time
	// ID is the key's: the subject key identifier, or the ID in the header of tokens.
	ID string
	// Fingerprint is the SHA-256 sum of the certificate or public key.
	Fingerprint string
	// Signs is true if it signs now; others are only trusted.
	Signs bool
	// New is true for those that a rotation brings in, Old for those that it removes.
	New, Old bool
}

// Describe returns all authorities that are trusted now, in the order of RotationNames,
// those that sign first.
func (f Files) Describe() ([]Authority, error) {
	r, err := f.Rotation()
	if err != nil {
		return nil, err
	}
	var all []Authority
	for _, name := range RotationNames() {
		bundle, err := f.Bundle(name)
		if err != nil {
			return nil, err
		}
		for i, content := range Split(bundle) {
			a, err := describe(name, content)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", public(name), err)
			}
			a.Signs = i == 0
			if r != nil {
				p := r.Replacements[name]
				a.New, a.Old = string(content) == string(p.New), string(content) == string(p.Old)
			}
			all = append(all, a)
		}
	}
	return all, nil
}

func describe(name string, content []byte) (Authority, error) {
	if name == ServiceAccounts {
		id, err := KeyID(content)
		sum := sha256.Sum256(decoded(content))
		return Authority{Name: name, ID: id, Fingerprint: hex.EncodeToString(sum[:])}, err
	}
	c, err := parseCertificate(content)
	if err != nil {
		return Authority{}, err
	}
	sum := sha256.Sum256(c.Raw)
	return Authority{Name: name, Subject: c.Subject.CommonName, Expires: c.NotAfter, ID: hex.EncodeToString(c.SubjectKeyId), Fingerprint: hex.EncodeToString(sum[:])}, nil
}

// Leaf is one of the host's certificates.
type Leaf struct {
	Name, Subject string
	Expires       time.Time
	// Issuer is the ID of the authority's key.
	Issuer string
}

// Leaves returns the certificates among files that are no authorities, by name.
func (f Files) Leaves() []Leaf {
	var all []Leaf
	for _, path := range slices.Sorted(maps.Keys(f)) {
		name, ok := strings.CutSuffix(path, ".crt")
		if !ok {
			continue
		}
		if c, err := parseCertificate(f[path]); err == nil && !c.IsCA {
			all = append(all, Leaf{Name: name, Subject: c.Subject.CommonName, Expires: c.NotAfter, Issuer: hex.EncodeToString(c.AuthorityKeyId)})
		}
	}
	return all
}

// KeyID returns the ID that tokens have in their header if the key that belongs to a
// public key in PEM signed them: upstream's, which is not exported.
func KeyID(public []byte) (string, error) {
	key, err := parsePublicKey(public)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// TokenPrefix returns how every token begins that a key with this ID signed.
func TokenPrefix(id string) string {
	header, _ := json.Marshal(map[string]string{"alg": "ES256", "kid": id}) // strings can always be encoded
	return base64.RawURLEncoding.EncodeToString(header) + "."
}
