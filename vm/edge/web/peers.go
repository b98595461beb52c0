package web

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
	"github.com/skiff-dev/skiff/vm/home"
)

const (
	// askLimit bounds a question to another daemon.
	askLimit = 2 * time.Second
	// fresh is how long its answer is kept.
	fresh = time.Second
	// maxAnswer bounds it, in bytes, and maxKept how many are kept.
	maxAnswer = 1 << 20
	maxKept   = 1024
)

// peers are the daemons of the user's other clusters. Requests go to a socket of
// their own (home.Cluster.Web), questions to their API: no request can be taken for a
// question.
type peers struct {
	home    home.Home
	cluster string // this daemon's
	reverse *httputil.ReverseProxy
	api     *http.Client

	hosts        answers[[]string]
	certificates answers[*tls.Certificate]
}

func newPeers(h home.Home, cluster string, log *slog.Logger) *peers {
	dial := func(socket func(home.Cluster) string) DialFunc {
		return func(ctx context.Context, _, address string) (net.Conn, error) {
			name, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, "unix", socket(h.Cluster(name)))
		}
	}
	p := &peers{home: h, cluster: cluster}
	p.api = &http.Client{Timeout: askLimit, Transport: &http.Transport{DialContext: dial(home.Cluster.Socket), IdleConnTimeout: idleLimit, MaxIdleConnsPerHost: 1}}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", peerOf(r.In.Context())
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			describe(r, false)
		},
		Transport: peerTransport(dial(home.Cluster.Web)), BufferPool: &buffers{},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				w.WriteHeader(statusClosed)
				return
			}
			log.Debug("cannot forward to another cluster", "cluster", peerOf(r.Context()), "error", err)
			name := peerOf(r.Context())
			page{
				status: http.StatusServiceUnavailable, title: fmt.Sprintf("Cluster %s is not running", name),
				lines: []string{"Start it: skiff up " + name}, waits: true,
			}.serve(w, r)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return p
}

type peerKey struct{}

func peerOf(ctx context.Context) string {
	name, _ := ctx.Value(peerKey{}).(string)
	return name
}

// forward sends a request to the daemon of a cluster.
func (p *peers) forward(w http.ResponseWriter, r *http.Request, cluster string) {
	p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, cluster)))
}

// peerTransport uses HTTP/2 for requests that came that way, which gRPC needs, and
// HTTP/1.1 for all others, which upgrades need.
func peerTransport(dial DialFunc) http.RoundTripper {
	with := func(set func(*http.Protocols, bool)) *http.Transport {
		protocols := &http.Protocols{}
		set(protocols, true)
		return &http.Transport{
			DialContext: dial, Protocols: protocols, DisableCompression: true,
			MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdleEndpoint, IdleConnTimeout: idleLimit,
		}
	}
	one, two := with((*http.Protocols).SetHTTP1), with((*http.Protocols).SetUnencryptedHTTP2)
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.ProtoMajor == 2 {
			return two.RoundTrip(r)
		}
		return one.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// clusters returns the names of all clusters of the user.
func (p *peers) clusters() ([]string, error) { return p.home.Names() }

// claims returns the hosts for which the other clusters have an Ingress. A cluster
// that does not answer has none.
func (p *peers) claims(ctx context.Context, clusters []string) []route.Claim {
	all := make([]route.Claim, len(clusters))
	var asked sync.WaitGroup
	for i, name := range clusters {
		if name == p.cluster {
			continue
		}
		asked.Go(func() {
			all[i] = route.Claim{Cluster: name, Hosts: p.hosts.get(name, func() []string {
				var answer daemonapi.WebHosts
				if p.ask(ctx, name, daemonapi.PathWebHosts, &answer) != nil {
					return nil
				}
				return answer.Hosts
			})}
		})
	}
	asked.Wait()
	return slices.DeleteFunc(all, func(c route.Claim) bool { return len(c.Hosts) == 0 })
}

// certificate returns the certificate that an Ingress of a cluster names for a host,
// nil if there is none.
func (p *peers) certificate(ctx context.Context, cluster, host string) *tls.Certificate {
	return p.certificates.get(cluster+"/"+host, func() *tls.Certificate {
		var answer daemonapi.WebCertificate
		if p.ask(ctx, cluster, daemonapi.PathWebCertificate+"?host="+url.QueryEscape(host), &answer) != nil {
			return nil
		}
		pair, err := tls.X509KeyPair(answer.Certificate, answer.Key)
		if err != nil {
			return nil
		}
		return &pair
	})
}

// ask sends a GET request to the API of a cluster's daemon.
func (p *peers) ask(ctx context.Context, cluster, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cluster+path, nil)
	if err != nil {
		return err
	}
	response, err := p.api.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the daemon of %s: %s", cluster, response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(answer)
}

// answers keeps answers for a short time, so that a page with many requests asks
// once.
type answers[T any] struct {
	mu   sync.Mutex // guards kept
	kept map[string]answer[T]
}

type answer[T any] struct {
	value T
	at    time.Time
}

func (a *answers[T]) get(key string, ask func() T) T {
	a.mu.Lock()
	if one, ok := a.kept[key]; ok && time.Since(one.at) < fresh {
		a.mu.Unlock()
		return one.value
	}
	a.mu.Unlock()
	value := ask()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil || len(a.kept) >= maxKept {
		a.kept = map[string]answer[T]{}
	}
	a.kept[key] = answer[T]{value, time.Now()}
	return value
}
