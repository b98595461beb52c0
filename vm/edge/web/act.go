package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/vm/edge/web/gateway"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

const (
	// maxMirrored is the size of the largest body that is copied to a mirror. Requests
	// with a larger body, or one of unknown size, are not mirrored.
	maxMirrored = 1 << 20
	// mirrorLimit bounds the answer of a mirror, which nobody reads.
	mirrorLimit = 30 * time.Second
)

// errLate is why the context of a request ends whose backend takes too long.
var errLate = errors.New("the backend did not answer in the time that its route allows")

// serveEntry answers a request at the web entry by the routes of Gateways.
func (s *site) serveEntry(w http.ResponseWriter, r *http.Request, from arrival) {
	request := newRequest(r)
	seen := view(r, from)
	request.Entry, request.TLS = true, seen.scheme == "https"
	port, _ := strconv.ParseUint(seen.port, 10, 16)
	request.Port = int32(port)
	if ports := s.entryPorts(); port != 0 {
		request.OtherPort = int32(ports.HTTPS)
		if request.TLS {
			request.OtherPort = int32(ports.HTTP)
		}
	}
	s.act(w, r, s.gateways.Load().Resolve(request, rand.IntN), from)
}

// serveGateway returns the handler of a port of a Gateway.
func (s *site) serveGateway(p gateway.Port) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := newRequest(r)
		request.Gateway, request.Port = p.Gateway, p.Number
		s.act(w, r, s.gateways.Load().Resolve(request, rand.IntN), inside)
	})
}

func newRequest(r *http.Request) gateway.Request {
	request := gateway.Request{
		Host: route.Host(r.Host), Method: r.Method, Path: r.URL.Path, RawQuery: r.URL.RawQuery, Header: r.Header,
		GRPC: isGRPC(r), TLS: r.TLS != nil, Address: literal(r.Host),
	}
	if r.TLS != nil {
		request.ServerName = route.Host(r.TLS.ServerName)
	}
	return request
}

// literal returns the IP address in a Host header, or the zero Addr if the header has a
// name.
func literal(host string) netip.Addr {
	if withPort, err := netip.ParseAddrPort(host); err == nil {
		return withPort.Addr().WithZone("")
	}
	address, _ := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return address.WithZone("")
}

// act does what a route of a Gateway says.
func (s *site) act(w http.ResponseWriter, r *http.Request, a gateway.Action, from arrival) {
	if a.Status == 0 {
		s.send(w, r, a, from)
		return
	}
	respond(a, w.Header())
	switch {
	case a.Location != "":
		w.Header().Set("Location", a.Location)
		w.WriteHeader(a.Status)
	case a.Status == http.StatusNoContent:
		w.WriteHeader(a.Status)
	default:
		page{status: a.Status, title: titles(a.Status), lines: []string{"See why: kubectl --context skiff-" + s.cluster + " get gateways,httproutes,grpcroutes -A"}}.serve(w, r)
	}
}

// titles explains the statuses that a Gateway itself answers with.
func titles(status int) string {
	switch status {
	case http.StatusNotFound:
		return "No route of the Gateway matches this request"
	case http.StatusMisdirectedRequest:
		return "The connection was made for another host"
	case http.StatusServiceUnavailable:
		return "The backend of the route has no ready endpoints"
	}
	return "The route has no valid backend"
}

// send forwards a request to the backend of a route, and copies of it to its mirrors.
func (s *site) send(w http.ResponseWriter, r *http.Request, a gateway.Action, from arrival) {
	if a.Timeout > 0 {
		ctx, cancel := context.WithTimeoutCause(r.Context(), a.Timeout, errLate)
		defer cancel()
		r = r.WithContext(ctx)
	}
	if len(a.Mirrors) > 0 && r.ContentLength >= 0 && r.ContentLength <= maxMirrored {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			page{status: http.StatusBadRequest, title: "The body of the request ended early"}.serve(w, r)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		for _, m := range a.Mirrors {
			s.proxy.mirror(r, m, a, body)
		}
	}
	s.forward(w, r, a, from)
}

// mirror sends a copy of a request to a mirror and does not wait for the answer.
func (p *proxy) mirror(r *http.Request, m gateway.Mirror, a gateway.Action, body []byte) {
	select {
	case p.requests <- struct{}{}:
	default:
		return // the requests themselves come first
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), mirrorLimit)
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	copied := r.Clone(context.WithValue(ctx, forwardedKey{}, forwarded{backend: m.Backend, client: client}))
	copied.RequestURI, copied.Body = "", io.NopCloser(bytes.NewReader(body))
	copied.URL.Scheme, copied.URL.Host = "http", m.Backend.Service.Name
	if m.Backend.Protocol == route.HTTPS {
		copied.URL.Scheme = "https"
	}
	removeHops(copied.Header)
	for _, change := range a.Request {
		change.Apply(copied.Header)
	}
	go func() {
		defer func() { <-p.requests }()
		defer cancel()
		response, err := p.reverse.Transport.RoundTrip(copied)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	}()
}

// removeHops removes hop-by-hop headers (RFC 9110, section 7.6.1). For requests that are
// not copies, the reverse proxy does.
func removeHops(header http.Header) {
	for _, list := range header["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{
		"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	} {
		header.Del(name)
	}
}

// apply changes the request to a backend.
func apply(a gateway.Action, out *http.Request) {
	for _, change := range a.Request {
		change.Apply(out.Header)
	}
	if a.Host != "" {
		out.Host = a.Host
	}
	if a.Path != "" {
		out.URL.Path, out.URL.RawPath = a.Path, ""
	}
}

// respond adds the headers of an answer.
func respond(a gateway.Action, header http.Header) {
	for _, change := range a.Response {
		change.Apply(header)
	}
	if a.CORS == nil {
		return
	}
	for name, values := range a.CORS.Headers {
		header[name] = values
	}
}

// modify changes the answer of a backend. The conformance tests for ingress controllers
// ask for a Server, whatever the backend sends.
func modify(response *http.Response) error {
	if response.Header.Get("Server") == "" {
		response.Header.Set("Server", "skiff")
	}
	respond(forwardedOf(response.Request.Context()).action, response.Header)
	if isGRPC(response.Request) {
		response.Body = &callBody{ReadCloser: response.Body, response: response}
	}
	return nil
}
