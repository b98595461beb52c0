// Command workload is the program inside the test images: a server whose answers
// show where it runs and whose health can be switched over HTTP, and clients for
// it. It is one small static program, because the images are loaded into emulated
// machines.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage:
  workload serve [flags]           answer HTTP, TCP and UDP until SIGTERM
  workload get [flags] URL         ask a server and print what it says
  workload watch [flags] URL       ask for ever and count the failures
  workload dial tcp|udp ADDRESS    send a line and expect it back
  workload notice DIR              print what changes in a directory until SIGTERM`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command\n%s", usage)
	}
	switch command, rest := args[0], args[1:]; command {
	case "serve":
		return serve(ctx, rest)
	case "get":
		return get(ctx, rest, os.Stdout)
	case "watch":
		return watch(ctx, rest, os.Stdout)
	case "dial":
		return dial(ctx, rest, os.Stdout)
	case "notice":
		return notice(ctx, rest, os.Stdout)
	default:
		return fmt.Errorf("unknown command %q\n%s", command, usage)
	}
}
