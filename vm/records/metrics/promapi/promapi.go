// Package promapi answers queries as Prometheus does, in its HTTP API and its formats,
// so that Grafana, promtool and other programs made for Prometheus work with it. Queries
// are bounded in time, in samples and in number.
package promapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

const (
	// lookback is how old a sample may be to count as the current one.
	lookback = 5 * time.Minute
	// queryLimit bounds one query, maxSamples the samples in its memory.
	queryLimit = 30 * time.Second
	maxSamples = 3_000_000
	// maxQueries run at the same time; others wait.
	maxQueries = 4
	// maxForm bounds the body of a request.
	maxForm = 1 << 20
	// maxPoints bounds the points of a series in an answer, as in Prometheus.
	maxPoints = 11_000
	// subqueryStep is the resolution of subqueries without one.
	subqueryStep = time.Minute
)

// ErrUnavailable reports that nothing is recorded now.
var ErrUnavailable = errors.New("metrics are not recorded")

// Metadata describes a metric.
type Metadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// Target is an address that is asked for metrics.
type Target struct {
	DiscoveredLabels   map[string]string `json:"discoveredLabels"`
	Labels             map[string]string `json:"labels"`
	ScrapePool         string            `json:"scrapePool"`
	ScrapeURL          string            `json:"scrapeUrl"`
	GlobalURL          string            `json:"globalUrl"`
	LastError          string            `json:"lastError"`
	LastScrape         time.Time         `json:"lastScrape"`
	LastScrapeDuration float64           `json:"lastScrapeDuration"`
	// Health is "up", "down" or "unknown".
	Health         string `json:"health"`
	ScrapeInterval string `json:"scrapeInterval"`
	ScrapeTimeout  string `json:"scrapeTimeout"`
}

// Config of an API.
type Config struct {
	// Queryable returns what is queried; the error wraps ErrUnavailable if there is
	// nothing.
	Queryable func() (storage.Queryable, error)
	// Metadata and Targets may be nil.
	Metadata func() map[string]Metadata
	Targets  func() []Target
	Log      *slog.Logger
}

// API answers queries. Its methods may be called concurrently.
type API struct {
	config  Config
	engine  *promql.Engine
	parser  parser.Parser
	running chan struct{} // one for each query
}

// NewEngine returns an engine for PromQL with the bounds of an API.
func NewEngine(log *slog.Logger) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		Logger: log, MaxSamples: maxSamples, Timeout: queryLimit, LookbackDelta: lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return subqueryStep.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: parser.NewParser(parser.Options{}),
	})
}

// New returns an API.
func New(config Config) *API {
	return &API{
		config: config, engine: NewEngine(config.Log), parser: parser.NewParser(parser.Options{}),
		running: make(chan struct{}, maxQueries),
	}
}

// Handler serves /api/v1/… and /federate.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, answer := range map[string]func(context.Context, *http.Request) (body, error){
		"query": a.query, "query_range": a.queryRange, "series": a.series, "labels": a.labels,
		"format_query": a.formatQuery, "query_exemplars": none,
	} {
		mux.HandleFunc("GET /api/v1/"+path, a.answer(answer))
		mux.HandleFunc("POST /api/v1/"+path, a.answer(answer))
	}
	for path, answer := range map[string]func(context.Context, *http.Request) (body, error){
		"label/{name}/values": a.labelValues, "metadata": a.metadata, "targets": a.targets, "status/buildinfo": a.buildInfo,
		"rules": noRules, "alerts": noAlerts,
	} {
		mux.HandleFunc("GET /api/v1/"+path, a.answer(answer))
	}
	mux.HandleFunc("GET /federate", a.federate)
	mux.HandleFunc("GET /-/ready", a.ready)
	mux.HandleFunc("GET /-/healthy", a.ready)
	return mux
}

// answer runs a request within the bounds and writes its result.
func (a *API) answer(do func(context.Context, *http.Request) (body, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), queryLimit)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			writeError(w, bad("", err))
			return
		}
		select {
		case a.running <- struct{}{}:
			defer func() { <-a.running }()
		case <-ctx.Done():
			writeError(w, &failure{errorTimeout, errors.New("too many queries are running")})
			return
		}
		var result body
		err := guard(func() (err error) {
			result, err = do(ctx, r)
			return err
		})
		if err != nil {
			writeError(w, err)
			return
		}
		writeSuccess(w, result)
	}
}

// guard calls f and turns a panic, or a fault in a file that is mapped into memory, into
// an error.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = &failure{errorInternal, fmt.Errorf("%v", cause)}
		}
	}()
	return f()
}

// querier opens the data between two times in milliseconds that a request may read.
func (a *API) querier(r *http.Request, from, to int64) (storage.Querier, error) {
	queryable, err := a.queryable(r)
	if err != nil {
		return nil, err
	}
	return queryable.Querier(from, to)
}

func (a *API) ready(w http.ResponseWriter, _ *http.Request) {
	if _, err := a.config.Queryable(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "Skiff is ready.")
}
