package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Rights that decide what a user may read of the stored logs and metrics: those of the
// namespaces in which the API server would let the user read the same.
var (
	readLogs     = authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods", Subresource: "log"}
	readEvents   = authorizationv1.ResourceAttributes{Verb: "list", Resource: "events"}
	readNodeLogs = authorizationv1.ResourceAttributes{Verb: "get", Resource: "nodes", Subresource: "log"}
	readPods     = authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods"}
)

const (
	// maxScope bounds the namespaces about which the API server is asked for one user,
	// and maxReviews how many are asked about at once.
	maxScope   = 500
	maxReviews = 8
)

// allowedIn returns those of the candidates in which the session's user may do something.
func (s *session) allowedIn(ctx context.Context, attributes authorizationv1.ResourceAttributes, candidates []string) daemonapi.Namespaces {
	if s.may(ctx, attributes) {
		return daemonapi.Namespaces{All: true}
	}
	allowed := make([]bool, len(candidates))
	var group errgroup.Group
	group.SetLimit(maxReviews)
	for i, namespace := range candidates {
		group.Go(func() error {
			one := attributes
			one.Namespace = namespace
			allowed[i] = s.may(ctx, one)
			return nil
		})
	}
	_ = group.Wait()
	var in daemonapi.Namespaces
	for i, namespace := range candidates {
		if allowed[i] {
			in.Names = append(in.Names, namespace)
		}
	}
	return in
}

// namespaceCache keeps the names of the namespaces that have stored logs, or metrics.
type namespaceCache struct {
	mu    sync.Mutex // guards the fields below
	names []string
	at    time.Time
}

// get returns the names. It reads them again when they are older than rightLife.
func (c *namespaceCache) get(read func() ([]string, error)) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) < rightLife {
		return c.names, nil
	}
	found, err := read()
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(name string) bool { return !namespaceName.MatchString(name) })
	c.names, c.at = found[:min(len(found), maxScope)], time.Now()
	return c.names, nil
}

// namespaceName matches the names that namespaces can have (RFC 1123).
var namespaceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// logNamespaces returns the namespaces that have stored logs.
func (s *Server) logNamespaces(r *http.Request) ([]string, error) {
	return s.logged.get(func() ([]string, error) {
		var answer struct{ Values []struct{ Value string } }
		query := url.Values{"query": {"*"}, "field": {"namespace"}}
		err := s.ask(r, daemonapi.PathLogs+"/select/logsql/stream_field_values", query, &answer)
		names := make([]string, len(answer.Values))
		for i, v := range answer.Values {
			names[i] = v.Value
		}
		return names, err
	})
}

// metricNamespaces returns the namespaces that have stored metrics.
func (s *Server) metricNamespaces(r *http.Request) ([]string, error) {
	return s.measured.get(func() ([]string, error) {
		var answer struct{ Data []string }
		err := s.ask(r, daemonapi.PathMetrics+"/api/v1/label/namespace/values", nil, &answer)
		return answer.Data, err
	})
}

// ask sends a GET request to the daemon and decodes the answer. The error is a *refusal if
// the answer is a failure.
func (s *Server) ask(r *http.Request, path string, query url.Values, into any) error {
	out := daemonRequest(r, path)
	out.Method, out.URL.RawQuery, out.Body, out.ContentLength = http.MethodGet, query.Encode(), http.NoBody, 0
	buffer := &buffered{header: http.Header{}, status: http.StatusOK}
	s.config.Daemon.ServeHTTP(buffer, out)
	if buffer.status != http.StatusOK {
		return &refusal{buffer}
	}
	return json.Unmarshal(buffer.content.Bytes(), into)
}

// refusal is an answer of the daemon that is a failure.
type refusal struct{ *buffered }

func (r *refusal) Error() string { return fmt.Sprintf("the daemon answered with status %d", r.status) }

// failAsDaemon answers with a failure of ask.
func failAsDaemon(w http.ResponseWriter, err error) {
	var refused *refusal
	if !errors.As(err, &refused) {
		fail(w, http.StatusBadGateway, "ask the daemon: "+err.Error(), "")
		return
	}
	answer := &answer{to: w, header: http.Header{}, status: refused.status}
	_, _ = answer.Write(refused.content.Bytes())
	answer.finish()
}

// logScope returns what the session's user may read of the stored logs.
func (s *Server) logScope(r *http.Request, session *session) (daemonapi.LogScope, error) {
	ctx := r.Context()
	scope := daemonapi.LogScope{
		Containers: daemonapi.Namespaces{All: session.may(ctx, readLogs)}, Events: daemonapi.Namespaces{All: session.may(ctx, readEvents)},
		Nodes: session.may(ctx, readNodeLogs),
	}
	if scope.Containers.All && scope.Events.All {
		return scope, nil
	}
	candidates, err := s.logNamespaces(r)
	if err != nil {
		return scope, err
	}
	scope.Containers = session.allowedIn(ctx, readLogs, candidates)
	scope.Events = session.allowedIn(ctx, readEvents, candidates)
	return scope, nil
}

// allMetrics reports whether a user may read all metrics: also those of nodes, of the
// control plane, and of this host.
func allMetrics(ctx context.Context, session *session) bool {
	return session.may(ctx, seePodMetrics) && session.may(ctx, seeNodeMetrics)
}

// getLogs answers queries of the stored logs within the user's scope.
func (s *Server) getLogs(w http.ResponseWriter, r *http.Request, session *session) {
	scope, err := s.logScope(r, session)
	if err != nil {
		failAsDaemon(w, err)
		return
	}
	if scope.Everything() {
		s.forwardToDaemon(w, r, "/api/logs", daemonapi.PathLogs)
		return
	}
	filter := scope.Filter()
	if filter == "" {
		fail(w, http.StatusForbidden, session.user+" may not read the logs of any namespace that has stored logs", "")
		return
	}
	form, err := formWith(w, r, daemonapi.ParameterLogFilter, filter)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	body := form.Encode()
	r.Method, r.URL.RawQuery, r.Body, r.ContentLength = http.MethodPost, "", io.NopCloser(strings.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.forwardToDaemon(w, r, "/api/logs", daemonapi.PathLogs)
}

// narrowedMetrics matches the requests of the Prometheus API that only read series, to which
// the daemon applies a filter.
var narrowedMetrics = regexp.MustCompile(`^/api/metrics/api/v1/(query|query_range|series|labels|label/[^/]+/values)$`)

// getMetrics answers queries of the stored metrics within the user's scope.
func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request, session *session) {
	if allMetrics(r.Context(), session) {
		s.forwardToDaemon(w, r, "/api/metrics", daemonapi.PathMetrics)
		return
	}
	candidates, err := s.metricNamespaces(r)
	if err != nil {
		failAsDaemon(w, err)
		return
	}
	in := session.allowedIn(r.Context(), readPods, candidates)
	if !in.All && len(in.Names) == 0 || !narrowedMetrics.MatchString(r.URL.Path) {
		fail(w, http.StatusForbidden, session.user+" may not read the metrics of the whole cluster", "")
		return
	}
	selector := `{namespace!=""}`
	if !in.All {
		selector = fmt.Sprintf("{namespace=~%q}", strings.Join(in.Names, "|"))
	}
	form, err := formWith(w, r, daemonapi.ParameterMetricsFilter, selector)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	// The values of labels can only be requested with GET.
	r.Method, r.URL.RawQuery, r.Body, r.ContentLength = http.MethodGet, form.Encode(), http.NoBody, 0
	s.forwardToDaemon(w, r, "/api/metrics", daemonapi.PathMetrics)
}

// formWith returns the parameters in the address and the body of a request, and one more.
// The daemon applies all values of a filter, so those of the browser cannot widen it.
func formWith(w http.ResponseWriter, r *http.Request, name, value string) (url.Values, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxQuery)
	if err := r.ParseForm(); err != nil {
		return nil, fmt.Errorf("read the query: %w", err)
	}
	form := url.Values{}
	for key, values := range r.Form {
		form[key] = slices.Clone(values)
	}
	form.Add(name, value)
	return form, nil
}

// getScope returns what the user may read of the stored logs and metrics, for notes on
// screens.
func (s *Server) getScope(w http.ResponseWriter, r *http.Request, session *session) {
	logs, err := s.logScope(r, session)
	if err != nil {
		logs = daemonapi.LogScope{}
	}
	jsonhttp.Write(w, struct {
		Metrics    bool     `json:"metrics"`
		Logs       bool     `json:"logs"`
		Namespaces []string `json:"namespaces"`
	}{allMetrics(r.Context(), session), logs.Everything(), append([]string{}, logs.Containers.Names...)})
}
