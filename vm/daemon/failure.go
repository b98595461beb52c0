package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/image"
)

// invalid is a failure for which the input is at fault.
func invalid(err error, hint string) *daemonapi.Failure {
	return &daemonapi.Failure{Cause: err.Error(), Hint: hint, Invalid: true}
}

// asFailure makes any error one for people. log is where more can be read.
func asFailure(err error, log string) *daemonapi.Failure {
	var failure *daemonapi.Failure
	if errors.As(err, &failure) {
		return failure
	}
	failure = &daemonapi.Failure{Cause: err.Error(), Log: log}
	switch {
	case errors.Is(err, driver.ErrUnavailable), errors.Is(err, errors.ErrUnsupported):
		failure.Invalid = true
	case errors.Is(err, cluster.ErrCorrupt):
		failure.Invalid = true
		failure.Hint = "put a good copy back, or remove the cluster with \"skiff down\""
	case errors.Is(err, image.ErrNotFound):
		failure.Invalid, failure.Hint = true, "build it with \"make image\""
	case errors.Is(err, errDown):
		failure.Log = ""
	}
	return failure
}

// Check says what is wrong with spec for the cluster in dir on this host, as
// failures with Invalid set, joined; nil if nothing is. It changes nothing, but
// for a damaged state file, which is kept aside.
func Check(dir home.Cluster, spec cluster.Spec, host cluster.Host, state cluster.State, known bool) error {
	wanted := len(cluster.Nodes(spec))
	if known {
		wanted = len(union(state.Nodes, spec)) - len(state.Nodes)
	}
	faults := cluster.Validate(spec, host, wanted)
	if known {
		faults = append(faults, cluster.Changes(state.Spec, spec)...)
	} else if damaged := cluster.Damaged(dir.State()); len(damaged) > 0 {
		faults = append(faults, fmt.Errorf("the cluster's state file was damaged and kept as %s: put a good copy back as %s, or remove the cluster with \"skiff down %s\"", damaged[0], dir.State(), spec.Name))
	}
	var failures []error
	for _, fault := range faults {
		failures = append(failures, invalid(fault, ""))
	}
	return errors.Join(failures...)
}

// joined makes one failure of several.
func joined(err error) *daemonapi.Failure {
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) {
		return asFailure(err, "")
	}
	var whole daemonapi.Failure
	for i, one := range many.Unwrap() {
		failure := asFailure(one, "")
		if i > 0 {
			whole.Cause += "; "
		}
		whole.Cause += failure.Cause
		whole.Hint, whole.Invalid = failure.Hint, failure.Invalid
	}
	return &whole
}

func writeFailure(w http.ResponseWriter, status int, failure *daemonapi.Failure) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure)
}
