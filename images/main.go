// Command images builds the node image for one architecture.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/skiff-dev/skiff/images/assembly"
	"github.com/skiff-dev/skiff/images/recipe"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	out := flags.String("out", "bin/image", "directory to write kernel, initramfs, root.erofs and image.json to")
	arch := flags.String("arch", runtime.GOARCH, "architecture of the nodes: amd64 or arm64")
	guest := flags.String("guest", "", "directory of skiff-init, skiff-nodeagent and skiff-controlplane (default build/guest/linux-ARCH)")
	cache := flags.String("cache", "build/image", "directory that keeps packages and programs between builds")
	source := flags.String("programs", "images/programs", "directory of the modules that pin third-party programs")
	locks := flags.String("locks", "images/locks", "directory of the files that lock Debian packages")
	kubernetes := flags.String("kubernetes", "", "Kubernetes version of the guest programs, as in v1.36.3")
	update := flags.Bool("update", false, "lock the Debian packages that apt offers now")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	image, err := recipe.For(*arch)
	if err != nil {
		return err
	}
	if *guest == "" {
		*guest = filepath.Join("build/guest", "linux-"+*arch)
	}
	// Host tools run in other directories, so every path must be absolute.
	for _, path := range []*string{source, guest, out, cache, locks} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	config := assembly.Config{
		Recipe: image, Kubernetes: *kubernetes, Update: *update,
		Programs: *source, Guest: *guest, Locks: *locks, Out: *out, Cache: *cache,
		Log: func(format string, arguments ...any) { fmt.Printf("image: "+format+"\n", arguments...) },
	}
	manifest, built, err := assembly.Run(ctx, config)
	if err != nil {
		return err
	}
	if !built {
		fmt.Printf("image: %s is up to date (%s)\n", *out, manifest.Digest)
		return nil
	}
	var size int64
	for _, file := range manifest.Files {
		size += file.Bytes
	}
	fmt.Printf("image: built %s, %d MB (%s)\n", *out, size/1e6, manifest.Digest)
	return nil
}
