// Command generate writes the names that Kubernetes' components know to the directory of
// package kubenames.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/controlplane/kubenames"
	"github.com/skiff-dev/skiff/internal/atomicfile"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: generate DIRECTORY")
	}
	names, err := kubenames.Collect()
	if err != nil {
		return err
	}
	content, err := kubenames.Encode(names)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(args[0], kubenames.File()), content, 0o644)
}
