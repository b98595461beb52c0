package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/edge/web/gateway"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// Bounds of the connections to backends.
const (
	dialLimit = 5 * time.Second
	// maxRequests is how many requests of one cluster are served at once, streams
	// included.
	maxRequests     = 4096
	maxIdle         = 256
	maxIdleEndpoint = 16
	idleLimit       = time.Minute
	copyBuffer      = 32 << 10
)

// DialFunc connects to an address, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// proxy forwards requests to the endpoints of backends.
type proxy struct {
	reverse  *httputil.ReverseProxy
	requests chan struct{} // holds one element for each request
}

// forwarded is what the proxy keeps in the context of a request.
type forwarded struct {
	backend route.Backend
	// trusted means that another daemon of this user has set the headers that
	// describe the client.
	trusted bool
	client  string // IP address
	action  gateway.Action
	// body is the body of the client's request if it can be closed while it is being
	// read, as with HTTP/2; otherwise nil.
	body io.Closer
}

type forwardedKey struct{}

func forwardedOf(ctx context.Context) forwarded {
	f, _ := ctx.Value(forwardedKey{}).(forwarded)
	return f
}

func newProxy(dial DialFunc, log *slog.Logger) *proxy {
	return &proxy{
		requests: make(chan struct{}, maxRequests),
		reverse: &httputil.ReverseProxy{
			Rewrite: rewrite, ModifyResponse: modify, Transport: &balance{transports: transports(dial), seed: maphash.MakeSeed()}, BufferPool: &buffers{},
			ErrorHandler: failed, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}
}

// transports returns a transport for each protocol.
func transports(dial DialFunc) map[route.Protocol]http.RoundTripper {
	with := func(set func(*http.Protocols)) *http.Transport {
		protocols := &http.Protocols{}
		set(protocols)
		return &http.Transport{
			DialContext: limited(dial), Protocols: protocols, DisableCompression: true,
			MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdleEndpoint, IdleConnTimeout: idleLimit,
			TLSHandshakeTimeout: dialLimit,
			// Pods have self-signed certificates for names that only they know. The
			// connection does not leave the network of the machines.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
		}
	}
	return map[route.Protocol]http.RoundTripper{
		route.HTTP: with(func(p *http.Protocols) { p.SetHTTP1(true) }),
		route.H2C:  with(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
		route.HTTPS: with(func(p *http.Protocols) {
			p.SetHTTP1(true)
			p.SetHTTP2(true)
		}),
		// An upgrade, as to a WebSocket, exists in HTTP/1.1 only.
		upgradeTLS: with(func(p *http.Protocols) { p.SetHTTP1(true) }),
	}
}

const upgradeTLS route.Protocol = "https/1.1"

// dialError reports that no connection was made, so that nothing of the request was
// sent.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

func limited(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialLimit)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, dialError{err}
		}
		return conn, nil
	}
}

// forward sends a request to the backend of an action, which has endpoints. trusted means
// that another daemon of this user has forwarded it.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, action gateway.Action, trusted bool) {
	backend := action.Backend
	select {
	case p.requests <- struct{}{}:
		defer func() { <-p.requests }()
	default:
		page{status: http.StatusServiceUnavailable, title: "Too many requests at once", waits: true}.serve(w, r)
		return
	}
	if backend.Protocol == route.HTTP && isGRPC(r) {
		backend.Protocol = route.H2C // gRPC needs HTTP/2
	}
	if backend.Protocol == route.HTTPS && r.Header.Get("Upgrade") != "" {
		backend.Protocol = upgradeTLS
	}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if trusted || err != nil {
		client = r.Header.Get(forwardedFor)
	}
	f := forwarded{backend: backend, trusted: trusted, client: client, action: action}
	if r.ProtoMajor == 2 {
		f.body = r.Body
	}
	p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), forwardedKey{}, f)))
}

// Headers that describe the client. Those in describing are set, every other header
// that begins with forwardedPrefix is removed.
const (
	forwardedPrefix = "X-Forwarded-"
	forwardedFor    = "X-Forwarded-For"
	forwardedHost   = "X-Forwarded-Host"
	forwardedProto  = "X-Forwarded-Proto"
	forwardedPort   = "X-Forwarded-Port"
)

func describing() []string {
	return []string{forwardedFor, forwardedHost, forwardedProto, forwardedPort}
}

// rewrite prepares the request to the backend. The reverse proxy has removed the
// headers of the connection.
func rewrite(p *httputil.ProxyRequest) {
	f := forwardedOf(p.In.Context())
	p.Out.URL.Scheme = "http"
	if f.backend.Protocol == route.HTTPS || f.backend.Protocol == upgradeTLS {
		p.Out.URL.Scheme = "https"
	}
	p.Out.URL.Host = f.backend.Service.Name // balance replaces it by an endpoint
	p.Out.URL.RawQuery = p.In.URL.RawQuery  // the backend decides what is valid
	describe(p, f.trusted)
	apply(f.action, p.Out)
}

// describe sets the headers that tell the backend about the client. Only another
// daemon of this user is trusted; from anybody else they could be forged.
func describe(p *httputil.ProxyRequest, trusted bool) {
	for name := range p.Out.Header {
		if strings.HasPrefix(name, forwardedPrefix) || name == "X-Real-Ip" || name == "Proxy" {
			delete(p.Out.Header, name)
		}
	}
	if !trusted {
		p.SetXForwarded()
		p.Out.Header.Set(forwardedPort, portOf(p.In))
		return
	}
	for _, name := range describing() {
		if values := p.In.Header[name]; len(values) > 0 {
			p.Out.Header[name] = values
		}
	}
}

// portOf returns the port that the client asked.
func portOf(r *http.Request) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		return port
	}
	if r.TLS != nil {
		return "443"
	}
	return "80"
}

// failed answers a request that the backend did not answer.
func failed(w http.ResponseWriter, r *http.Request, err error) {
	late := errors.Is(context.Cause(r.Context()), errLate)
	if r.Context().Err() != nil && !late {
		w.WriteHeader(statusClosed) // the client is gone and sees nothing
		return
	}
	backend := forwardedOf(r.Context()).backend
	p := page{
		status: http.StatusBadGateway,
		title:  fmt.Sprintf("Service %s did not answer", backend.Service),
		lines:  []string{fmt.Sprintf("Port %d of the Service: %v.", backend.Port, err)},
	}
	var dial dialError
	switch {
	case errors.As(err, &dial):
		p.title = fmt.Sprintf("Service %s does not accept connections", backend.Service)
		p.lines = append(p.lines, "Its pods are ready, but nothing listens on the target port, or a NetworkPolicy forbids it.")
		p.waits = true
	case late, errors.Is(err, context.DeadlineExceeded):
		p.status = http.StatusGatewayTimeout
	case strings.Contains(err.Error(), "malformed HTTP"):
		p.title = fmt.Sprintf("Service %s does not speak HTTP", backend.Service)
		p.lines = append(p.lines, "If it speaks HTTP with TLS or HTTP/2, set appProtocol of the port to https or kubernetes.io/h2c.")
	}
	p.serve(w, r)
}

// statusClosed is what other proxies log for a client that closed its connection.
const statusClosed = 499

// buffers lets responses share buffers.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, copyBuffer)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }
