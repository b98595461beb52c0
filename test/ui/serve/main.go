// Command serve runs a control plane with the rig's objects until it is
// interrupted, and prints the path of its kubeconfig, for trying out the
// dashboard.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/skiff-dev/skiff/test/ui/rig"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func run() error {
	dir := flag.String("dir", "", "directory for the files of the control plane")
	pods := flag.Int("pods", 0, "number of additional pods")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *dir == "" {
		return errors.New("-dir is required")
	}
	program, err := rig.Program(".")
	if err != nil {
		return err
	}
	s, err := rig.Start(ctx, program, *dir)
	if err != nil {
		return err
	}
	defer func() { _ = s.Stop() }()
	if err := s.Fill(ctx); err != nil {
		return err
	}
	if err := s.Pods(ctx, "load", *pods); err != nil {
		return err
	}
	fmt.Println(s.Kubeconfig)
	s.Kubelets(ctx)
	return nil
}
