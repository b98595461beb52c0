package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

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

// certificates are those that Ingresses name. A secret is read when a client asks for
// its host, and no other secret is ever read.
type certificates struct {
	table *atomic.Pointer[route.Table]
	read  SecretFunc
	log   *slog.Logger

	mu    sync.Mutex // guards pairs
	pairs map[types.NamespacedName]*pair
}

// pair is the last content of a secret.
type pair struct {
	mu          sync.Mutex // held while the secret is read
	certificate *tls.Certificate
	at          time.Time
}

// find returns the certificate for a host, nil if no Ingress names one or its secret
// does not hold one.
func (c *certificates) find(ctx context.Context, host string) *tls.Certificate {
	table := c.table.Load()
	secret, ok := table.Secret(host)
	if !ok || host == "" {
		return nil
	}
	p := c.pair(table, secret)
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < secretFresh {
		return p.certificate
	}
	ctx, cancel := context.WithTimeout(ctx, secretLimit)
	defer cancel()
	found, err := c.load(ctx, secret)
	if err != nil {
		c.log.Warn("cannot use the certificate of an Ingress", "secret", secret, "host", host, "error", err)
		if ctx.Err() != nil {
			return p.certificate // the API is away; the last one may still be right
		}
	}
	p.certificate, p.at = found, time.Now()
	return found
}

// pair returns the entry of a secret and forgets secrets that no Ingress names.
func (c *certificates) pair(table *route.Table, secret types.NamespacedName) *pair {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pairs[secret]; p != nil {
		return p
	}
	named := map[types.NamespacedName]*pair{secret: {}}
	for _, name := range table.Secrets() {
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
