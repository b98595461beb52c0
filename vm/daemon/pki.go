package daemon

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/operation"
)

func getPKI(w http.ResponseWriter, r *http.Request, f *fleet.Fleet) {
	described, err := f.PKI(r.Context())
	if err != nil {
		writeFailure(w, http.StatusInternalServerError, operation.AsFailure(err, ""))
		return
	}
	jsonhttp.Write(w, described)
}

// postRotateAuthorities starts the operation that replaces authorities.
func (d *daemon) postRotateAuthorities(life context.Context, w http.ResponseWriter, r *http.Request) {
	var request daemonapi.RotateAuthorities
	if !readOptional(w, r, &request) {
		return
	}
	for _, name := range request.Only {
		if !slices.Contains(pki.RotationNames(), name) {
			writeFailure(w, http.StatusUnprocessableEntity, operation.Invalid(errors.New("unknown authority"), ""))
			return
		}
	}
	op, failure := d.begin(life, operation.KindAuthorities, func(ctx context.Context, f *fleet.Fleet, op *operation.Operation) (string, error) {
		return f.RotateAuthorities(ctx, op, request)
	})
	d.answer(w, r, op, failure)
}
