package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// handshakeLimit allows for emulated nodes on a busy host.
const handshakeLimit = 20 * time.Second

// DialFunc connects to an address in the machines' network.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Pool keeps connections to the node APIs of one cluster.
type Pool struct {
	dial    DialFunc        // with TLS
	calls   *http.Transport // an answer must begin within callLimit
	streams *http.Transport // an empty log that is followed may stay silent
}

// IssuedFunc reports whether a certificate is the one that the host gave last to the
// node with the given address.
type IssuedFunc func(address string, certificate *x509.Certificate) bool

// ConfigFunc returns the TLS configuration of one connection, which the pool may change.
type ConfigFunc func() (*tls.Config, error)

// NewPool returns a pool that connects by dial and authenticates with config. A node
// whose certificate has expired is trusted only if issued reports true for it.
func NewPool(dial DialFunc, config ConfigFunc, issued IssuedFunc) *Pool {
	secured := dialTLS(dial, config, issued)
	transport := func(limit time.Duration) *http.Transport {
		return &http.Transport{
			DialTLSContext: secured, ResponseHeaderTimeout: limit,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		}
	}
	return &Pool{dial: secured, calls: transport(callLimit), streams: transport(0)}
}

// Node returns a client of the node with the given name and address.
func (p *Pool) Node(name string, address netip.Addr) *Client {
	c := New(name, "https://"+endpoint(address), p.calls)
	c.streams = p.streams
	return c
}

// CloseIdleConnections closes connections that are not in use, so that the next
// call makes a new one.
func (p *Pool) CloseIdleConnections() {
	p.calls.CloseIdleConnections()
	p.streams.CloseIdleConnections()
}

// Certificate returns the certificate that the API of a node presents to a new
// connection.
func (p *Pool) Certificate(ctx context.Context, address netip.Addr) (*x509.Certificate, error) {
	conn, err := p.dial(ctx, "tcp", endpoint(address))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	secured, ok := conn.(*tls.Conn)
	if !ok || len(secured.ConnectionState().PeerCertificates) == 0 {
		return nil, fmt.Errorf("the node API at %s presents no certificate", address)
	}
	return secured.ConnectionState().PeerCertificates[0], nil
}

// Proxy forwards a request to the API of a node, without prefix at the beginning
// of its path. failed answers if the node cannot be reached.
func (p *Pool) Proxy(w http.ResponseWriter, r *http.Request, address netip.Addr, prefix string, failed func(http.ResponseWriter, error)) {
	target := url.URL{Scheme: "https", Host: endpoint(address), Path: strings.TrimPrefix(r.URL.Path, prefix)}
	transport := p.calls
	switch {
	// The builder may be large, and it starts when it is asked for.
	case target.Path == nodeapi.PathLogs, strings.HasPrefix(target.Path, controlapi.Prefix), strings.HasPrefix(target.Path, nodeapi.PathBuilder):
		transport = p.streams
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			target.RawQuery = request.Out.URL.RawQuery
			request.Out.URL, request.Out.Host = &target, target.Host
		},
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, err error) { failed(w, err) },
	}
	proxy.ServeHTTP(w, r)
}

func endpoint(address netip.Addr) string {
	return netip.AddrPortFrom(address, nodeconfig.PortNodeAPI).String()
}

// dialTLS makes TLS connections to nodes. A certificate that has expired, for
// instance because the host slept for months, is verified as of its last valid
// moment: only over such a connection can the node receive a new one. Only the
// certificate that the host gave the node last is accepted this way, so that the key
// of a machine that no longer exists, or of an earlier certificate, is of no use.
func dialTLS(dial DialFunc, current ConfigFunc, issued IssuedFunc) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, handshakeLimit)
		defer cancel()
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		config, err := current()
		if err != nil {
			return nil, err
		}
		config.ServerName = host
		conn, err := handshake(ctx, dial, network, address, config)
		var expired x509.CertificateInvalidError
		if errors.As(err, &expired) && expired.Reason == x509.Expired && issued(host, expired.Cert) {
			config.Time = func() time.Time { return expired.Cert.NotAfter }
			conn, err = handshake(ctx, dial, network, address, config)
		}
		return conn, err
	}
}

func handshake(ctx context.Context, dial DialFunc, network, address string, config *tls.Config) (net.Conn, error) {
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}
