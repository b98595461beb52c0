// Package metrics holds the command `metrics`.
package metrics

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/serve"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/records/metrics"
	"github.com/skiff-dev/skiff/vm/records/metrics/promapi"
	"github.com/skiff-dev/skiff/vm/records/metrics/store"
)

// New returns the command `metrics`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "Query the recorded metrics of a cluster",
		Long: `Query the recorded metrics of a cluster: those of its nodes, pods, containers, control plane
and DNS, and those of pods with the annotation prometheus.io/scrape or selected by a
ServiceMonitor or PodMonitor. They are kept when a pod or node is deleted, when the cluster is
stopped, and after "skiff down --keep-records".`,
		Example: `  # Show how much CPU each pod uses
  skiff metrics query 'sum by (namespace, pod) (rate(container_cpu_usage_seconds_total[1m]))'

  # Let Grafana or promtool query them
  skiff metrics serve`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newQuery(s), newServe(s))
	return cmd
}

// source is where metrics are queried.
type source struct {
	// handler is the HTTP API of Prometheus.
	handler http.Handler
	// name of the cluster or of its records.
	name string
	// end is the time up to which there are metrics.
	end   time.Time
	close func() error
}

// open returns the metrics of a cluster: from its daemon, or else from its files.
func open(cluster string) (source, error) {
	of, err := target.OpenRecords(cluster)
	if err != nil {
		return source{}, err
	}
	if of.Client != nil {
		return source{handler: serve.Proxy(&url.URL{Scheme: "http", Host: "daemon", Path: daemonapi.PathMetrics}, of.Client), name: of.Name, end: time.Now(), close: func() error { return nil }}, nil
	}
	log := slog.New(slog.DiscardHandler)
	opened, err := store.OpenCopy(metrics.Directory(of.Directory), of.Temporary, log)
	if errors.Is(err, store.ErrAbsent) {
		return source{}, cli.Invalid("", "no metrics of cluster %q were recorded", of.Name)
	}
	if err != nil {
		return source{}, err
	}
	api := promapi.New(promapi.Config{Queryable: func() (storage.Queryable, error) { return opened, nil }, Log: log})
	return source{handler: api.Handler(), name: of.Name, end: opened.Newest(), close: opened.Close}, nil
}

// answer is a response in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// get sends a request to the source.
func (s source) get(ctx context.Context, path string, parameters url.Values) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://metrics"+path+"?"+parameters.Encode(), nil)
	if err != nil {
		return nil, err
	}
	a := &answer{header: http.Header{}}
	s.handler.ServeHTTP(a, request)
	return a, ctx.Err()
}
