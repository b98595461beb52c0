// Command generate builds the OpenAPI documents of built-in types with the API server
// of the linked release, and writes them to the archive that package openapi embeds.
package main

import (
	"context"
	"fmt"
	"os"

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
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: generate ARCHIVE")
	}
	files, err := upstream.Documents(context.Background())
	if err != nil {
		return err
	}
	archive, err := openapi.Pack(files)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(os.Args[1], archive, 0o644); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}
