package daemon

import (
	"context"
	"net/http"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/operation"
)

// postFault begins a fault. If another one is about to begin, it waits for that; it fails
// while any other change is in progress.
func (d *daemon) postFault(life context.Context, w http.ResponseWriter, r *http.Request) {
	var request daemonapi.FaultRequest
	if !readRequest(w, r, &request) {
		return
	}
	var fault daemonapi.Fault
	var failed error
	op, failure := d.beginFault(life, r.Context(), func(ctx context.Context, f *fleet.Fleet, _ *operation.Operation) (string, error) {
		fault, failed = f.BeginFault(ctx, request)
		return fault.ID, failed
	})
	if failure != nil {
		writeFailure(w, http.StatusConflict, failure)
		return
	}
	<-op.Done()
	if failed != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.AsFailure(failed, d.dir.Log()))
		return
	}
	jsonhttp.Write(w, fault)
}

// beginFault starts a change that begins a fault, once no other fault is about to begin.
func (d *daemon) beginFault(life, request context.Context, change change) (*operation.Operation, *daemonapi.Failure) {
	d.yield()
	d.rouse(request)
	for {
		d.mu.Lock()
		if active := d.active(); d.leaving == nil && active != nil && active.Kind() == operation.KindFault {
			d.mu.Unlock()
			select {
			case <-active.Done():
				continue
			case <-request.Done():
				return nil, operation.Busy(operation.KindFault)
			}
		}
		defer d.mu.Unlock()
		if failure := d.unavailable(); failure != nil {
			return nil, failure
		}
		f := d.fleet
		return d.start(life, operation.KindFault, nil, func(ctx context.Context, op *operation.Operation) (string, error) {
			return change(ctx, f, op)
		}), nil
	}
}

// clearFaults ends faults. That is always possible, even while a change is in progress.
func (d *daemon) clearFaults(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
	var request daemonapi.FaultsClear
	if !readRequest(w, r, &request) {
		return
	}
	// A client that disconnects must not leave a fault that has ended only in part.
	ended, err := f.ClearFaults(context.WithoutCancel(r.Context()), request.IDs)
	if err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.AsFailure(err, d.dir.Log()))
		return
	}
	writeFaults(w, ended)
}

func writeFaults(w http.ResponseWriter, all []daemonapi.Fault) {
	jsonhttp.Write(w, append([]daemonapi.Fault{}, all...))
}
