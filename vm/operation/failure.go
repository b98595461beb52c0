package operation

import (
	"errors"
	"fmt"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/image"
)

// Causes with which an operation cancels others.
var (
	ErrStop = errors.New("the cluster is being stopped")
	ErrDown = errors.New("the cluster is being taken down")
	ErrUser = errors.New("a user asked for another change")
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

		KindAuthorities: "the cluster's authorities are being replaced",

		KindResume: "the cluster is being resumed",
		KindStop:   ErrStop.Error(),
		KindDown:   ErrDown.Error(),

		KindRestore: "the database is being restored",
		KindFault:   "a fault is about to begin",
		KindRepair:  "a node is being repaired",
		KindScale:   "a group of nodes is being scaled",
		KindSleep:   "the cluster is being paused because nobody uses it",
		KindWake:    "the cluster is being resumed",
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

// NoImage returns the failure of a node image for a minor version of Kubernetes that
// cannot be read; version is empty for the default image.
func NoImage(err error, version string) *daemonapi.Failure {
	failure := AsFailure(err, "")
	failure.Invalid = true
	switch {
	case errors.Is(err, image.ErrOther):
	case version == "" || version == kubenames.Default:
		failure.Hint = `build it with "make image", or set SKIFF_IMAGE_DIR to its directory`
	default:
		failure.Hint = fmt.Sprintf(`build it with "make image KUBERNETES=%s", or install a release with "install.sh --kubernetes %s"`, version, version)
	}
	return failure
}

// NoForeignImage is NoImage for machines of another architecture than this host's.
func NoForeignImage(err error, version, arch string) *daemonapi.Failure {
	failure := NoImage(err, version)
	if errors.Is(err, image.ErrOther) {
		return failure
	}
	build, install := "make image ARCH="+arch, "install.sh --arch "+arch
	if version != "" && version != kubenames.Default {
		build, install = build+" KUBERNETES="+version, install+" --kubernetes "+version
	}
	failure.Hint = fmt.Sprintf("build it with %q, or install a release with %q", build, install)
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
