// Package gateway is where the nodes of one cluster reach the user's registry: at
// their gateway's address. They can only pull.
package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

// Bounds of what nodes may ask.
const (
	maxHeader   = 16 << 10 // bytes
	headerLimit = 10 * time.Second
	idleLimit   = time.Minute
	maxIdle     = 8
)

// Config of a Gateway.
type Config struct {
	// Cluster is the name under which the registry knows the cluster.
	Cluster string
	// Registry connects to the registry.
	Registry func(ctx context.Context) (net.Conn, error)
	Log      *slog.Logger
}

// Gateway serves nodes.
type Gateway struct {
	config Config
	proxy  http.Handler
}

// New returns a Gateway.
func New(config Config) *Gateway {
	return &Gateway{config: config, proxy: &httputil.ReverseProxy{
		Transport: &http.Transport{
			DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return config.Registry(ctx) },
			IdleConnTimeout: idleLimit, MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdle,
		},
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", "registry", ""
			p.Out.Body, p.Out.ContentLength = http.NoBody, 0
			p.Out.Header = http.Header{
				"Accept": p.In.Header["Accept"], "Range": p.In.Header["Range"],
				registryapi.HeaderCluster: {config.Cluster},
			}
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			config.Log.Debug("a node's pull failed", "error", err)
			w.WriteHeader(http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug),
	}}
}

// Serve serves nodes that connect to listener until ctx ends.
func (g *Gateway) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: g, ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(g.config.Log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(listener)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// ServeHTTP passes a pull on and refuses everything else.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "nodes can only pull from the registry: push from the host", http.StatusMethodNotAllowed)
		return
	}
	// The registry's own API is next to that of images.
	if !strings.HasPrefix(r.URL.Path, registryapi.PathImagesAPI) || strings.Contains(r.URL.Path, "..") {
		http.NotFound(w, r)
		return
	}
	g.proxy.ServeHTTP(w, r)
}
