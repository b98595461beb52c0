package daemon

import (
	"context"
	"errors"
	"net/http"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Dashboard is a user interface in the browser that the daemon serves.
type Dashboard interface {
	// Open returns a link that works once. The error is a *daemonapi.Failure with Invalid
	// set if the request is invalid.
	Open(ctx context.Context, request daemonapi.DashboardRequest) (daemonapi.DashboardLink, error)
	// Close ends all sessions and returns when nothing is served any more. It is called
	// once.
	Close()
}

// postDashboard opens the dashboard.
func (d *daemon) postDashboard(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
	var request daemonapi.DashboardRequest
	if !readRequest(w, r, &request) {
		return
	}
	if f.Paused(r.Context()) {
		writeFailure(w, http.StatusServiceUnavailable, daemonapi.Paused(d.config.Name))
		return
	}
	link, err := d.dashboard.Open(r.Context(), request)
	var failure *daemonapi.Failure
	switch {
	case errors.As(err, &failure) && failure.Invalid:
		writeFailure(w, http.StatusUnprocessableEntity, failure)
	case err != nil:
		writeFailure(w, http.StatusBadGateway, operation.AsFailure(err, ""))
	default:
		jsonhttp.Write(w, link)
	}
}
