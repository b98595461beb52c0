package daemon

import (
	"net/http"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
)

// metrics answers queries about the recorded metrics.
func (d *daemon) metrics(w http.ResponseWriter, r *http.Request) {
	f := d.open()
	if f == nil {
		writeFailure(w, http.StatusServiceUnavailable, operation.Stopped())
		return
	}
	http.StripPrefix(daemonapi.PathMetrics, f.Metrics()).ServeHTTP(w, r)
}
