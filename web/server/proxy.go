package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/kube"
)

// maxBody bounds what a browser sends to the API server in one request, in bytes. The
// API server itself accepts 3 MiB.
const maxBody = 4 << 20

// bearerProtocol begins the subprotocol with which a WebSocket would bring a token of
// its own (k8s.io/apiserver/pkg/authentication/request/websocket).
const bearerProtocol = "base64url.bearer.authorization.k8s.io."

// passed are the headers of a browser's request that reach the API server. None of
// them names a user.
var passed = []string{"Accept", "Content-Type", "Content-Length", "If-Match", "If-None-Match", "Accept-Encoding"}

// upgrading are those of a request that changes the protocol, in addition.
var upgrading = []string{
	"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol",
}

// returned are the headers of the API server's response that reach the browser.
var returned = []string{
	"Content-Type", "Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Retry-After", "Warning", "Allow", "Audit-Id",
	"X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid", "Trailer",
}

// proxyKubernetes sends a request to the API server as the session's user.
func (s *Server) proxyKubernetes(w http.ResponseWriter, r *http.Request, session *session) {
	path := strings.TrimPrefix(r.URL.Path, pathKubernetes)
	if leadsElsewhere(path) {
		fail(w, http.StatusForbidden, "the dashboard does not show pages of nodes, services and pods", "forward a port instead")
		return
	}
	if !upgrade(r) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	transport := session.Transport
	if upgrade(r) {
		transport = session.Upgrader
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { rewrite(p, session.URL) }, Transport: transport, FlushInterval: -1,
		ModifyResponse: sanitize,
		ErrorLog:       slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			var large *http.MaxBytesError
			switch {
			case errors.As(err, &large):
				fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d MiB", maxBody>>20), "")
			case r.Context().Err() != nil:
				fail(w, http.StatusServiceUnavailable, "the request was cancelled", "")
			default:
				fail(w, http.StatusBadGateway, "the API server does not answer: "+kube.Reason(err), fmt.Sprintf("see `skiff status %s`", s.config.Cluster))
			}
		},
	}
	proxy.ServeHTTP(w, r)
}

// leadsElsewhere reports whether the API server would pass a request on to a node, a
// service or a pod, whose response must not look like a page of the dashboard.
func leadsElsewhere(path string) bool {
	part := strings.Split(strings.Trim(path, "/"), "/")
	if slices.Contains(part, "") {
		return true
	}
	if len(part) < 3 || part[0] != "api" {
		return false
	}
	part = part[2:]
	if part[0] == "namespaces" && len(part) > 2 {
		part = part[2:]
	}
	return part[0] == "proxy" || len(part) > 2 && part[2] == "proxy"
}

// rewrite turns a browser's request into one to the API server.
func rewrite(p *httputil.ProxyRequest, server *url.URL) {
	in, out := p.In, p.Out
	out.Host, out.URL.Scheme, out.URL.Host = "", server.Scheme, server.Host
	base := strings.TrimSuffix(server.Path, "/")
	out.URL.Path = base + strings.TrimPrefix(in.URL.Path, pathKubernetes)
	out.URL.RawPath = ""
	if in.URL.RawPath != "" {
		out.URL.RawPath = base + strings.TrimPrefix(in.URL.RawPath, pathKubernetes)
	}
	out.Header = http.Header{}
	keep := passed
	if upgrade(in) {
		keep = slices.Concat(passed, upgrading)
	}
	for _, name := range keep {
		if values := in.Header.Values(name); len(values) > 0 {
			out.Header[name] = slices.Clone(values)
		}
	}
	if upgrade(in) {
		// The API server refuses watches and logs over a WebSocket without an origin. The
		// browser's was compared with this server's and means nothing to the API server.
		out.Header.Set("Origin", server.Scheme+"://"+server.Host)
		dropBearer(out.Header)
		if query := out.URL.Query(); query.Has("accept") {
			out.Header.Set("Accept", query.Get("accept"))
			query.Del("accept")
			out.URL.RawQuery = query.Encode()
		}
	}
	out.Header.Set("User-Agent", userAgent)
}

// dropBearer removes tokens from the subprotocols of a WebSocket.
func dropBearer(header http.Header) {
	const name = "Sec-Websocket-Protocol"
	var kept []string
	for _, value := range header.Values(name) {
		for protocol := range strings.SplitSeq(value, ",") {
			if protocol = strings.TrimSpace(protocol); !strings.HasPrefix(protocol, bearerProtocol) && protocol != "" {
				kept = append(kept, protocol)
			}
		}
	}
	header.Del(name)
	if len(kept) > 0 {
		header.Set(name, strings.Join(kept, ", "))
	}
}

// sanitize makes a response harmless: data, without cookies and redirects.
func sanitize(response *http.Response) error {
	header := http.Header{}
	keep := returned
	if response.StatusCode == http.StatusSwitchingProtocols {
		keep = slices.Concat(returned, []string{"Connection", "Upgrade", "Sec-Websocket-Accept", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions"})
	}
	for _, name := range keep {
		if values := response.Header.Values(name); len(values) > 0 {
			header[name] = values
		}
	}
	if response.StatusCode != http.StatusSwitchingProtocols { // without a type, net/http would guess one
		header.Set("Content-Type", inert(header.Get("Content-Type")))
	}
	response.Header = header
	return nil
}
