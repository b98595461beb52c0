package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/registry/mirror"
)

// errRefused means that the request must not be sent.
var errRefused = errors.New("refused")

// maxFailure bounds the body of an answer that is not a success, in bytes.
const maxFailure = 64 << 10

// guard sends requests to registries, to redirections and to their token servers,
// whose names come from guests and from other registries. It reaches only what the
// cluster may reach, apart from proxies and mirrors, which the user named, and uses
// HTTP only for registries of which the user said so.
type guard struct {
	egress        network.Egress
	roots         *x509.CertPool
	plain         []string // hosts that may use HTTP or a certificate that is not valid
	named         []string // HOST:PORT that the user named
	proxy         func(*url.URL) (*url.URL, error)
	verified, lax *http.Transport
}

// trusted returns the host's authorities and those in PEM; nil means only the host's.
func trusted(authorities string) (*x509.CertPool, error) {
	if authorities == "" {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the host's authorities: %w", err)
	}
	if !roots.AppendCertsFromPEM([]byte(authorities)) {
		return nil, errors.New("the additional authorities contain no certificate")
	}
	return roots, nil
}

func newGuard(config Config, mirrors []mirror.Mirror, roots *x509.CertPool) *guard {
	g := &guard{egress: config.Egress, roots: roots, plain: slices.Clone(config.Insecure)}
	for _, m := range mirrors {
		if m.Plain {
			g.plain = append(g.plain, m.Host)
		}
		g.named = append(g.named, withPort(m.Host, "443"), withPort(m.Host, "80"))
	}
	g.proxy = config.Proxy.ProxyFunc()
	for _, text := range []string{config.Proxy.HTTPProxy, config.Proxy.HTTPSProxy} {
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			port := map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
			if port == "" {
				port = "80"
			}
			g.named = append(g.named, withPort(u.Host, port))
		}
	}
	g.verified = g.transport(false)
	g.lax = g.transport(true)
	return g
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, port)
}

// transport returns one that connects only to what the guard allows.
func (g *guard) transport(insecure bool) *http.Transport {
	return &http.Transport{
		Proxy:                 func(r *http.Request) (*url.URL, error) { return g.proxy(r.URL) },
		DialContext:           g.dial,
		TLSClientConfig:       &tls.Config{RootCAs: g.roots, InsecureSkipVerify: insecure, MinVersion: tls.VersionTLS12}, //nolint:gosec // for registries of which the user said so
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 20 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
		ForceAttemptHTTP2:     true,
	}
}

func (g *guard) close() {
	g.verified.CloseIdleConnections()
	g.lax.CloseIdleConnections()
}

// insecure reports whether the user said that a registry is insecure.
func (g *guard) insecure(host string) bool { return slices.Contains(g.plain, host) }

// dial connects to an address if the guard allows it, which is decided after its
// name was resolved.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if !slices.Contains(g.named, address) {
		dialer.Control = func(_, resolved string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(resolved)
			if err != nil || !g.egress.AllowsHost(at.Addr()) {
				return fmt.Errorf("%w: the cluster may not reach %s", errRefused, resolved)
			}
			return nil
		}
	}
	return dialer.DialContext(ctx, network, address)
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := g.check(r.URL); err != nil {
		return nil, err
	}
	through := g.verified
	if g.insecure(r.URL.Host) {
		through = g.lax
	}
	response, err := through.RoundTrip(r)
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		response.Body = limited{io.LimitReader(response.Body, maxFailure), response.Body}
	}
	return response, err
}

type limited struct {
	io.Reader
	io.Closer
}

// check refuses a request by its URL. A proxy would connect to any address.
func (g *guard) check(u *url.URL) error {
	if u.Scheme != "https" && !g.insecure(u.Host) {
		return fmt.Errorf("%w: %s may only be used over HTTPS, because it is not one of the insecure registries", errRefused, u.Host)
	}
	port := "443"
	if u.Scheme == "http" {
		port = "80"
	}
	if slices.Contains(g.named, withPort(u.Host, port)) {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return fmt.Errorf("%w: %s is this host", errRefused, name)
	}
	if address, err := netip.ParseAddr(name); err == nil && !g.egress.AllowsHost(address) {
		return fmt.Errorf("%w: the cluster may not reach %s", errRefused, name)
	}
	return nil
}
