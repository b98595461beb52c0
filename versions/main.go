// Command versions writes the module files of Kubernetes' versions: go.mod for the default
// one, and DIR/VERSION.mod beside a go.mod for another one, which has the same pins apart
// from Kubernetes' own and what that needs. scripts/bump.sh calls it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/mod/modfile"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "versions:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("versions", flag.ContinueOnError)
	from := flags.String("from", "go.mod", "module file to read")
	to := flags.String("to", "go.mod", "module file to write; one that is new gets the sums of the other")
	version := flags.String("kubernetes", "", "release of Kubernetes to pin, such as v1.36.3")
	changed := flags.Bool("default-changed", false, "keep what the module file to write has older than the one to read")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	file, err := read(*from)
	if err != nil {
		return err
	}
	upstream, err := download(ctx, *version)
	if err != nil {
		return err
	}
	switch replaced, err := read(*to); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := keep(file, replaced, *changed); err != nil {
			return err
		}
	}
	if err := pin(file, upstream, *version); err != nil {
		return err
	}
	content, err := file.Format()
	if err != nil {
		return err
	}
	if err := copySums(*from, *to); err != nil {
		return err
	}
	return atomicfile.Write(*to, content, 0o644)
}

func read(path string) (*modfile.File, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return modfile.Parse(path, content, nil)
}

// download returns the module file of a release of Kubernetes.
func download(ctx context.Context, version string) (*modfile.File, error) {
	if !release.MatchString(version) {
		return nil, fmt.Errorf("invalid version %q: use a release of Kubernetes such as v1.36.3", version)
	}
	output, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", kubernetes+"@"+version).Output()
	var module struct{ GoMod, Error string }
	if parse := json.Unmarshal(output, &module); parse != nil {
		return nil, fmt.Errorf("download %s %s: %w", kubernetes, version, errors.Join(err, parse))
	}
	if module.Error != "" {
		return nil, errors.New(module.Error)
	}
	return read(module.GoMod)
}

// copySums gives a new module file the sums of another one, which has most of its modules.
func copySums(from, to string) error {
	if _, err := os.Stat(sums(to)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	content, err := os.ReadFile(sums(from))
	if err != nil {
		return err
	}
	return atomicfile.Write(sums(to), content, 0o644)
}

// sums returns the file of sums that belongs to a module file.
func sums(path string) string {
	return path[:len(path)-len(filepath.Ext(path))] + ".sum"
}
