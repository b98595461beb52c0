package store

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/app/vlselect/logsql"
)

const (
	// maxQueries is how many queries run at once; others wait.
	maxQueries = 4
	// queryLimit bounds a query that is not a tail.
	queryLimit = time.Minute
	// maxTails is how many tails run at once, and minRefresh the time between their queries.
	maxTails   = 16
	minRefresh = 100 * time.Millisecond
	// maxForm bounds the parameters of a request, in bytes.
	maxForm = 1 << 20
)

// PathSelect is where Handler serves the query API of VictoriaLogs
// (https://docs.victoriametrics.com/victorialogs/querying/#http-api).
const PathSelect = "/select/logsql/"

// Paths that Grafana's data source for VictoriaLogs requests before it queries: whether the
// store is healthy, and its version.
const (
	PathHealth = "/health"
	PathBuild  = "/select/buildinfo"
)

// version is the version of VictoriaLogs in go.mod, which provides the API.
const version = "v1.52.1"

type answer func(ctx context.Context, w http.ResponseWriter, r *http.Request)

var answers = map[string]answer{
	"query": search, "hits": logsql.ProcessHitsRequest, "facets": logsql.ProcessFacetsRequest,
	"field_names": logsql.ProcessFieldNamesRequest, "field_values": logsql.ProcessFieldValuesRequest,
	"stream_field_names": logsql.ProcessStreamFieldNamesRequest, "stream_field_values": logsql.ProcessStreamFieldValuesRequest,
	"streams": logsql.ProcessStreamsRequest, "stream_ids": logsql.ProcessStreamIDsRequest,
	"query_time_range": logsql.ProcessQueryTimeRangeRequest,
	"stats_query":      logsql.ProcessStatsQueryRequest, "stats_query_range": logsql.ProcessStatsQueryRangeRequest,
}

// Handler serves the query API, which does not change the store.
func (s *Store) Handler() http.Handler {
	mux := http.NewServeMux()
	free := make(chan struct{}, maxQueries)
	for name, answer := range answers {
		mux.HandleFunc(PathSelect+name, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), queryLimit)
			defer cancel()
			select {
			case free <- struct{}{}:
				defer func() { <-free }()
			case <-ctx.Done():
				http.Error(w, "too many queries are running", http.StatusServiceUnavailable)
				return
			}
			bounded(ctx, answer, w, r)
		})
	}
	mux.HandleFunc("GET "+PathHealth, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") })
	mux.HandleFunc("GET "+PathBuild, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"success","data":{"version":"`+version+`"}}`)
	})
	tails := make(chan struct{}, maxTails)
	mux.HandleFunc(PathSelect+"tail", func(w http.ResponseWriter, r *http.Request) {
		select {
		case tails <- struct{}{}:
			defer func() { <-tails }()
			bounded(r.Context(), tail, w, r)
		default:
			http.Error(w, "too many tails are running", http.StatusServiceUnavailable)
		}
	})
	return mux
}

// tail sends entries as they arrive. The library would ask the store without a pause if that
// is requested.
func tail(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if text := r.FormValue("refresh_interval"); text != "" {
		if every, err := time.ParseDuration(text); err != nil || every < minRefresh {
			http.Error(w, "refresh_interval must be a duration of at least "+minRefresh.String(), http.StatusBadRequest)
			return
		}
	}
	logsql.ProcessLiveTailRequest(ctx, w, r)
}

// bounded answers GET and POST requests of a reasonable size. The library answers tails
// for pages of any origin, which nothing here needs.
func bounded(ctx context.Context, answer answer, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		http.Error(w, "use GET or POST", http.StatusMethodNotAllowed)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	answer(ctx, w, r.WithContext(ctx))
}
