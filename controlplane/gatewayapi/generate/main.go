// Command generate packs the definitions of the Gateway API into the archive that package
// gatewayapi embeds.
package main

import (
	"fmt"
	"os"

	"github.com/skiff-dev/skiff/controlplane/gatewayapi"
	"github.com/skiff-dev/skiff/controlplane/gatewayapi/module"
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
	release, definitions, err := module.Definitions()
	if err != nil {
		return err
	}
	archive, err := gatewayapi.Pack(release, definitions)
	if err != nil {
		return err
	}
	return atomicfile.Write(os.Args[1], archive, 0o644)
}
