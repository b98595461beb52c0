package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"time"
)

// maxIssued bounds the certificates that are kept.
const maxIssued = 256

// Issuer makes certificates on demand and keeps those that were used last. All have
// one key, which only the process knows.
type Issuer struct {
	authority *Authority
	key       *ecdsa.PrivateKey

	mu     sync.Mutex // guards issued
	issued map[string]issued
}

type issued struct {
	certificate *tls.Certificate
	used        time.Time
}

// NewIssuer returns an Issuer of an authority.
func NewIssuer(a *Authority) (*Issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return &Issuer{authority: a, key: key, issued: map[string]issued{}}, nil
}

// Certificate returns a certificate for a name below localhost, or localhost itself,
// which is valid for at least half of its lifetime.
func (i *Issuer) Certificate(name string, now time.Time) (*tls.Certificate, error) {
	if name != domain && !strings.HasSuffix(name, "."+domain) {
		return nil, fmt.Errorf("no certificate for %q: it is not below %s", name, domain)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	one, ok := i.issued[name]
	if !ok || now.After(one.certificate.Leaf.NotAfter.Add(-leafLifetime/2)) {
		certificate, err := i.authority.sign(name, i.key, now)
		if err != nil {
			return nil, err
		}
		i.evict()
		one.certificate = certificate
	}
	one.used = now
	i.issued[name] = one
	return one.certificate, nil
}

// evict removes the certificate that was not used for the longest time, if there is
// no room. The caller holds i.mu.
func (i *Issuer) evict() {
	if len(i.issued) < maxIssued {
		return
	}
	oldest := ""
	for name, one := range i.issued {
		if oldest == "" || one.used.Before(i.issued[oldest].used) {
			oldest = name
		}
	}
	delete(i.issued, oldest)
}
