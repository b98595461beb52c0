package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/vm/edge/web/gateway"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

const (
	// secretLimit bounds one read of a secret.
	secretLimit = 3 * time.Second
	// secretFresh is for how long it is not read again.
	secretFresh = 5 * time.Second
)

// SecretFunc reads the certificate and the key in a secret of type
// kubernetes.io/tls.
type SecretFunc func(ctx context.Context, secret types.NamespacedName) (certificate, key []byte, err error)

// certificates are those that Ingresses and Gateways name. A secret of an Ingress is read
// when a client asks for its host, one of a Gateway also for its status, and no other
// secret is ever read.
type certificates struct {
	table    *atomic.Pointer[route.Table]
	gateways *atomic.Pointer[gateway.Table]
	read     SecretFunc
	// paused reports whether the cluster is paused, so that no secret can be read.
	paused func(context.Context) bool
	log    *slog.Logger

	mu    sync.Mutex // guards pairs
	pairs map[types.NamespacedName]*pair
}

// pair is the last content of a secret.
type pair struct {
	mu          sync.Mutex // held while the secret is read
	certificate *tls.Certificate
	err         error
	at          time.Time
}

// find returns the certificate for a host at the web entry, nil if no Ingress or Gateway
// names one or its secret does not hold one.
func (c *certificates) find(ctx context.Context, host string) *tls.Certificate {
	if host == "" {
		return nil
	}
	if secret, ok := c.table.Load().Secret(host); ok {
		found, _ := c.get(ctx, secret)
		return found
	}
	secrets, _ := c.gateways.Load().CertificatesFor(types.NamespacedName{}, 0, host)
	return c.choose(ctx, host, secrets)
}

// choose returns the first certificate that is valid for a host, otherwise the first one.
func (c *certificates) choose(ctx context.Context, host string, secrets []types.NamespacedName) *tls.Certificate {
	var first *tls.Certificate
	for _, secret := range secrets {
		found, err := c.get(ctx, secret)
		if err != nil {
			continue
		}
		if found.Leaf != nil && found.Leaf.VerifyHostname(host) == nil {
			return found
		}
		if first == nil {
			first = found
		}
	}
	return first
}

// get returns the certificate in a secret.
func (c *certificates) get(ctx context.Context, secret types.NamespacedName) (*tls.Certificate, error) {
	p := c.pair(secret)
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < secretFresh {
		return p.certificate, p.err
	}
	if !p.at.IsZero() && c.paused(ctx) {
		return p.certificate, p.err
	}
	ctx, cancel := context.WithTimeout(ctx, secretLimit)
	defer cancel()
	found, err := c.load(ctx, secret)
	if err != nil {
		c.log.Warn("cannot use a certificate", "secret", secret, "error", err)
		if ctx.Err() != nil && p.certificate != nil {
			return p.certificate, nil // the API is away; the last one may still be right
		}
	}
	p.certificate, p.err, p.at = found, err, time.Now()
	return found, err
}

// check returns the error of each secret that does not hold a certificate.
func (c *certificates) check(ctx context.Context, secrets []types.NamespacedName) map[types.NamespacedName]error {
	failed := map[types.NamespacedName]error{}
	for _, secret := range secrets {
		if _, err := c.get(ctx, secret); err != nil {
			failed[secret] = err
		}
	}
	return failed
}

// pair returns the entry of a secret and forgets secrets that nothing names.
func (c *certificates) pair(secret types.NamespacedName) *pair {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pairs[secret]; p != nil {
		return p
	}
	named := map[types.NamespacedName]*pair{secret: {}}
	for _, name := range slices.Concat(c.table.Load().Secrets(), c.gateways.Load().Secrets()) {
		if p := c.pairs[name]; p != nil {
			named[name] = p
		}
	}
	c.pairs = named
	return named[secret]
}

func (c *certificates) load(ctx context.Context, secret types.NamespacedName) (*tls.Certificate, error) {
	certificate, key, err := c.read(ctx, secret)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", secret, err)
	}
	return &pair, nil
}

// encode returns a certificate and its key in PEM.
func encode(c *tls.Certificate) (certificate, key []byte, err error) {
	for _, der := range c.Certificate {
		certificate = append(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, nil, fmt.Errorf("encode a key: %w", err)
	}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
