// Command skiff runs multi-node Kubernetes clusters on this host. Each node is a
// virtual machine or a sandbox of Linux namespaces. The same program is also the
// daemon of each cluster and, when started under QEMU's name, what starts QEMU
// for it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command"
	_ "github.com/skiff-dev/skiff/cmd/skiff/internal/homedir" // before Lima is initialized
	"github.com/skiff-dev/skiff/vm/lima"
)

func main() {
	// This comes first: the daemon starts QEMU through this program.
	if lima.IsQEMU(os.Args[0]) {
		fmt.Fprintln(os.Stderr, lima.ExecQEMU(os.Args))
		os.Exit(cli.ExitFailed)
	}
	ctx, stop := interruptible()
	streams := cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	err := command.New(streams).ExecuteContext(ctx)
	code := streams.Report(err)
	stop()
	os.Exit(code)
}

// interruptible returns a context that the first SIGINT, SIGTERM or SIGHUP
// cancels. A second signal ends the process at once.
func interruptible() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
