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

func postUpgradePlan(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
	var request daemonapi.UpgradeRequest
	if !readRequest(w, r, &request) {
		return
	}
	plan, err := f.PlanUpgrade(r.Context(), request)
	if err != nil {
		writeFailure(w, upgradeCode(err), operation.AsFailure(err, ""))
		return
	}
	jsonhttp.Write(w, plan)
}

// upgradeCode returns the HTTP status for an upgrade that is not possible.
func upgradeCode(err error) int {
	var failure *daemonapi.Failure
	switch {
	case !errors.As(err, &failure):
		return http.StatusInternalServerError
	case failure.Invalid:
		return http.StatusUnprocessableEntity
	default:
		return http.StatusConflict
	}
}

// postUpgrade starts the operation that begins or continues an upgrade and carries it out. A
// request that joins one that is running is not checked.
func (d *daemon) postUpgrade(life context.Context, w http.ResponseWriter, r *http.Request) {
	var request daemonapi.UpgradeRequest
	if !readRequest(w, r, &request) {
		return
	}
	d.yield()
	d.rouse(r.Context())
	kind := operation.KindUpgrade(request.Kubernetes)
	d.mu.Lock()
	f, active, failure := d.fleet, d.active(), d.unavailable()
	d.mu.Unlock()
	if active == nil || active.Kind() != kind {
		if failure != nil {
			writeFailure(w, http.StatusConflict, failure)
			return
		}
		if err := f.CheckUpgrade(r.Context(), request); err != nil {
			writeFailure(w, upgradeCode(err), operation.AsFailure(err, ""))
			return
		}
	}
	op, failure := d.begin(life, kind, func(ctx context.Context, f *fleet.Fleet, op *operation.Operation) (string, error) {
		if err := f.BeginUpgrade(ctx, request); err != nil {
			return "", err
		}
		return settle(ctx, f, op, request.Draining)
	})
	d.answer(w, r, op, failure)
}
