package daemon

import (
	"net/http"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/operation"
)

// getServices returns what the host can reach of the cluster.
func getServices(w http.ResponseWriter, _ *http.Request, f *fleet.Fleet) {
	jsonhttp.Write(w, f.Services())
}

// postPorts opens and closes ports of the host.
func (d *daemon) postPorts(w http.ResponseWriter, r *http.Request) {
	var change daemonapi.PortChange
	if !readRequest(w, r, &change) {
		return
	}
	d.yield()
	d.rouse(r.Context()) // ports follow the cluster, which the daemon must see
	// No apply may change the ports meanwhile.
	d.mu.Lock()
	defer d.mu.Unlock()
	if failure := d.unavailable(); failure != nil {
		writeFailure(w, http.StatusConflict, failure)
		return
	}
	if err := d.fleet.ChangePorts(r.Context(), change); err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.AsFailure(err, d.dir.Log()))
		return
	}
	jsonhttp.Write(w, d.fleet.Services())
}
