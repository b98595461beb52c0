package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Exit codes of skiff. A program that was run on a node passes its own code
// through.
const (
	ExitFailed      = 1
	ExitInvalid     = 2
	ExitInterrupted = 130
)

// ExitCode is the exit code of a program that skiff ran for the user. The
// program has already reported its own errors.
type ExitCode int

func (e ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Invalid returns an error about the user's input. It leads to exit code 2 and
// means that nothing was changed. hint may be empty.
func Invalid(hint, format string, args ...any) error {
	return &daemonapi.Failure{Cause: fmt.Sprintf(format, args...), Hint: hint, Invalid: true}
}

// PhaseError adds the phase in which an operation failed and, if it concerns a
// single node, the node.
type PhaseError struct {
	Phase daemonapi.Phase
	Node  string // empty if no single node failed
	Err   error
}

func (e *PhaseError) Error() string { return e.Err.Error() }

// Unwrap returns the error that ended the operation.
func (e *PhaseError) Unwrap() error { return e.Err }

func (e *PhaseError) where() string {
	if e.Node == "" {
		return string(e.Phase)
	}
	return string(e.Phase) + ", " + e.Node
}

// InterruptedError explains what state an interrupted command left behind. It
// leads to exit code 130.
type InterruptedError struct{ failure daemonapi.Failure }

// Interrupted returns an InterruptedError for a cause and a hint.
func Interrupted(cause, hint string) *InterruptedError {
	return &InterruptedError{daemonapi.Failure{Cause: cause, Hint: hint}}
}

func (i *InterruptedError) Error() string { return i.failure.Cause }

// Unwrap returns the failure and context.Canceled.
func (i *InterruptedError) Unwrap() []error { return []error{&i.failure, context.Canceled} }

// Report prints err with its hints and returns the exit code. Errors are
// printed nowhere else.
func Report(out io.Writer, err error) int {
	var code ExitCode
	var interrupted *InterruptedError
	out = text(out)
	result := ExitFailed
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &interrupted):
		result = ExitInterrupted
	case errors.Is(err, context.Canceled):
		return ExitInterrupted // the user pressed Ctrl-C and needs no message
	}
	for _, one := range split(err) {
		failure := failureOf(one)
		if failure.Invalid {
			result = ExitInvalid
			fmt.Fprintf(out, "skiff: %s\n", withHint(one, failure.Hint))
			continue
		}
		fmt.Fprintf(out, "skiff: %s\n", OneLine(one.Error()))
		var phase *PhaseError
		if errors.As(one, &phase) {
			fmt.Fprintf(out, "  phase: %s\n", phase.where())
		}
		if failure.Log != "" {
			fmt.Fprintf(out, "  log:   %s\n", failure.Log)
		}
		if failure.Hint != "" {
			fmt.Fprintf(out, "  hint:  %s\n", failure.Hint)
		}
	}
	return result
}

// withHint puts an error and its hint on one line.
func withHint(err error, hint string) string {
	if hint == "" {
		return OneLine(err.Error())
	}
	return OneLine(err.Error() + "; " + hint)
}

// split flattens joined errors, so that each is printed on its own line.
func split(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && err.Error() == errors.Join(joined.Unwrap()...).Error() {
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, split(one)...)
		}
		return all
	}
	return []error{err}
}

// failureOf returns the Failure that err wraps, or an empty one.
func failureOf(err error) daemonapi.Failure {
	var failure *daemonapi.Failure
	if errors.As(err, &failure) {
		return *failure
	}
	return daemonapi.Failure{}
}

// OneLine joins the lines of text.
func OneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
