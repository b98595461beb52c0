// Command generate builds the OpenAPI documents of built-in types with the API server
// of the linked release, and writes them to the archive that package openapi embeds for
// it, in the current directory.
package main

import (
	"context"
	"fmt"
	"os"

	"k8s.io/component-base/version"

	"github.com/skiff-dev/skiff/controlplane/openapi"
	"github.com/skiff-dev/skiff/controlplane/server/upstream"
	"github.com/skiff-dev/skiff/internal/atomicfile"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 1 {
		return fmt.Errorf("unexpected argument %q", os.Args[1])
	}
	files, err := upstream.Documents(context.Background())
	if err != nil {
		return err
	}
	archive, err := openapi.Pack(files)
	if err != nil {
		return err
	}
	name := "documents-" + version.DefaultKubeBinaryVersion + ".zip"
	if err := atomicfile.Write(name, archive, 0o644); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}
