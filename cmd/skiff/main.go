// Command skiff brings up real multi-node Kubernetes clusters on this host, each
// node a virtual machine. The same program is also each cluster's daemon and,
// under QEMU's name, what starts QEMU for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/lima"
)

// Set by the linker; see the Makefile.
var (
	version    = "dev"
	commit     = ""
	kubernetes = ""
)

// Exit codes. A program run on a node passes its own code through.
const (
	exitFailed      = 1
	exitInvalid     = 2
	exitInterrupted = 130
)

func main() {
	// First of all and with nothing else done: the daemon runs QEMU through us.
	if lima.IsQEMU(os.Args[0]) {
		fmt.Fprintln(os.Stderr, lima.ExecQEMU(os.Args))
		os.Exit(exitFailed)
	}
	ctx, stop := interruptible()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	err := a.root().ExecuteContext(ctx)
	code := report(os.Stderr, err)
	stop()
	os.Exit(code)
}

// interruptible is cancelled by the first SIGINT, SIGTERM or SIGHUP; the second
// ends the process at once.
func interruptible() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// exitCode is the code of a program that ran on a node: it has said all there
// is to say.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// report prints err, the only place that does, and returns the exit code.
func report(out io.Writer, err error) int {
	var code exitCode
	var stopped *interrupted
	result := exitFailed
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &stopped):
		result = exitInterrupted
	case errors.Is(err, context.Canceled):
		return exitInterrupted // whoever pressed Ctrl-C knows
	}
	for _, one := range split(err) {
		fmt.Fprintf(out, "skiff: %s\n", oneLine(one.Error()))
		var phase *phaseError
		if errors.As(one, &phase) {
			fmt.Fprintf(out, "  phase: %s\n", phase.where())
		}
		failure := explain(one)
		if failure.Log != "" {
			fmt.Fprintf(out, "  log:   %s\n", failure.Log)
		}
		if failure.Hint != "" {
			fmt.Fprintf(out, "  hint:  %s\n", failure.Hint)
		}
		if failure.Invalid {
			result = exitInvalid
		}
	}
	return result
}

// split takes several joined errors apart, so that each has its line.
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

// explain finds the hint that travels with an error.
func explain(err error) daemonapi.Failure {
	var failure *daemonapi.Failure
	if errors.As(err, &failure) {
		return *failure
	}
	return daemonapi.Failure{}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
