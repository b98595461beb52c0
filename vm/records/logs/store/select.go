package store

import (
	"context"
	"net/http"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/app/vlselect/logsql"
)

const (
	// maxQueries is how many queries run at once; others wait.
	maxQueries = 4
	// queryLimit bounds a query that is not a tail.
	queryLimit = time.Minute
	// maxForm bounds the parameters of a request, in bytes.
	maxForm = 1 << 20
)

// PathSelect is where Handler serves the query API of VictoriaLogs
// (https://docs.victoriametrics.com/victorialogs/querying/#http-api).
const PathSelect = "/select/logsql/"

type answer func(ctx context.Context, w http.ResponseWriter, r *http.Request)

var answers = map[string]answer{
	"query": logsql.ProcessQueryRequest, "hits": logsql.ProcessHitsRequest, "facets": logsql.ProcessFacetsRequest,
	"field_names": logsql.ProcessFieldNamesRequest, "field_values": logsql.ProcessFieldValuesRequest,
	"stream_field_names": logsql.ProcessStreamFieldNamesRequest, "stream_field_values": logsql.ProcessStreamFieldValuesRequest,
	"streams": logsql.ProcessStreamsRequest, "stream_ids": logsql.ProcessStreamIDsRequest,
	"stats_query": logsql.ProcessStatsQueryRequest, "stats_query_range": logsql.ProcessStatsQueryRangeRequest,
}

// Handler serves the query API. Nothing of it changes the store.
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
	mux.HandleFunc(PathSelect+"tail", func(w http.ResponseWriter, r *http.Request) {
		bounded(r.Context(), logsql.ProcessLiveTailRequest, w, r)
	})
	return mux
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
