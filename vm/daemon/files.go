package daemon

import (
	"net/http"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/operation"
)

// getFiles reports whether putFile is possible.
func getFiles(w http.ResponseWriter, _ *http.Request, f *fleet.Fleet) {
	if !f.SharesFiles() {
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// putFile writes a file on nodes whose file systems are part of the host's.
func (d *daemon) putFile(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
	query := r.URL.Query()
	nodes := query["node"]
	for _, name := range nodes {
		if _, ok := f.Address(name); !ok {
			writeFailure(w, http.StatusNotFound, operation.NoNode(name))
			return
		}
		if f.Paused(r.Context(), name) {
			writeFailure(w, http.StatusServiceUnavailable, daemonapi.Paused(d.config.Name))
			return
		}
	}
	if err := f.PutFile(r.Context(), nodes, query.Get("name"), query.Get("sum"), r.Body); err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.AsFailure(err, d.dir.Log()))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
