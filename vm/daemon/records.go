package daemon

import (
	"net/http"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/fleet"
)

// queryMetrics answers queries of the recorded metrics.
func queryMetrics(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
	http.StripPrefix(daemonapi.PathMetrics, f.Metrics()).ServeHTTP(w, r)
}

// queryLogs passes queries on to the log store.
func queryLogs(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
	f.Logs(daemonapi.PathLogs).ServeHTTP(w, r)
}
