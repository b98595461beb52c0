// Command serve runs a control plane with the rig's objects until it is
// interrupted, and prints the path of its kubeconfig: something to look at the
// dashboard with.
package main

import (
	"context"
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
	dir := flag.String("dir", "", "directory for its files")
	pods := flag.Int("pods", 0, "pods to make besides")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *dir == "" {
		return fmt.Errorf("-dir is missing")
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
