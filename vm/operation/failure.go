package operation

import (
	"errors"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/image"
)

// Causes with which an operation cancels others.
var (
	ErrStop = errors.New("the cluster is being stopped")
	ErrDown = errors.New("the cluster is being taken down")
)

// Invalid returns a failure that is caused by the user's input.
func Invalid(err error, hint string) *daemonapi.Failure {
	return &daemonapi.Failure{Cause: err.Error(), Hint: hint, Invalid: true}
}

// Stopped returns the failure of a request that needs a running cluster.
func Stopped() *daemonapi.Failure {
	return &daemonapi.Failure{Cause: "the cluster is stopped", Hint: "start it with \"skiff up\""}
}

// NoNode returns the failure of a request for a node that does not exist.
func NoNode(name string) *daemonapi.Failure {
	return &daemonapi.Failure{Cause: "there is no node " + name, Hint: "\"skiff status\" lists the nodes", Invalid: true}
}

// Busy returns the failure of a request that another operation blocks.
func Busy(kind Kind) *daemonapi.Failure {
	causes := map[Kind]string{
		KindRotate: "the encryption key of secrets is being rotated",
		KindPause:  "the cluster is being paused",
		KindResume: "the cluster is being resumed",
		KindStop:   ErrStop.Error(),
		KindDown:   ErrDown.Error(),

		KindRestore: "the database is being restored",
	}
	cause, ok := causes[kind]
	if !ok {
		cause = "another change is in progress"
	}
	return &daemonapi.Failure{Cause: cause, Hint: "wait until it is done and try again"}
}

// AsFailure returns err as a failure, with a hint where one is known. log names
// where to read more.
func AsFailure(err error, log string) *daemonapi.Failure {
	var failure *daemonapi.Failure
	if errors.As(err, &failure) {
		return failure
	}
	failure = &daemonapi.Failure{Cause: err.Error(), Log: log}
	switch {
	case errors.Is(err, driver.ErrUnavailable), errors.Is(err, errors.ErrUnsupported):
		failure.Invalid = true
	case errors.Is(err, cluster.ErrNewer):
		failure.Invalid = true
	case errors.Is(err, cluster.ErrDamaged):
		failure.Invalid = true
		failure.Hint = "restore a good copy, or remove the cluster with \"skiff down\""
	case errors.Is(err, image.ErrNotFound):
		failure.Invalid, failure.Hint = true, "build it with \"make image\""
	case errors.Is(err, image.ErrOther):
		failure.Invalid, failure.Hint = true, "build it again with \"make image\", or use the image of this program's release"
	case errors.Is(err, ErrDown), errors.Is(err, ErrStop):
		failure.Log = ""
	}
	return failure
}

// Joined returns one failure for all errors that err, made by errors.Join, joins.
func Joined(err error) *daemonapi.Failure {
	// Not errors.As: an error inside may wrap several, which is not a list.
	many, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // see above
	if !ok {
		return AsFailure(err, "")
	}
	var whole daemonapi.Failure
	for i, one := range many.Unwrap() {
		failure := AsFailure(one, "")
		if i > 0 {
			whole.Cause += "; "
		}
		whole.Cause += failure.Cause
		whole.Hint, whole.Invalid = failure.Hint, failure.Invalid
	}
	return &whole
}
