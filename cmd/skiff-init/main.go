// Command skiff-init is a node's PID 1, which the kernel starts from the initramfs,
// and the node API, which PID 1 runs as a separate program.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/skiff-dev/skiff/nodeagent/boot"
	"github.com/skiff-dev/skiff/nodeagent/boot/enter"
	"github.com/skiff-dev/skiff/nodeagent/boot/initramfs"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "skiff-init:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[1] == boot.ModeAPI:
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		return boot.ServeAPI(ctx)
	case os.Getpid() == 1 && len(args) == 2 && args[1] == nodeconfig.ModeSandbox:
		return enter.Run()
	case os.Getpid() != 1:
		return fmt.Errorf("usage: skiff-init %s (all other modes need to run as PID 1)", boot.ModeAPI)
	}
	if boot.Sandboxed() {
		return boot.Main() // the host has already mounted the root
	}
	if err := initramfs.Run(); err != nil {
		return err
	}
	return boot.Main()
}
