// Command release makes a release of what has been built. "pack" writes the archive,
// the Debian package and the bill of materials of one platform; "sign" completes a
// directory of them with install.sh, checksums and their signature. scripts/release.sh
// calls both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: release pack|sign FLAGS
  pack  write the archive, the Debian package and the bill of materials of a platform
  sign  write install.sh, the checksums of all files, and their signature`

// versions matches the versions that can be released. They become parts of file names.
var versions = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// errUsage is returned after the mistake has been explained on standard error.
var errUsage = errors.New("invalid command line")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprintln(stderr, usage)
		return errUsage
	}
	flags := flag.NewFlagSet("release "+args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	version := flags.String("version", "", "`version` of the release, as in v0.2.0")
	out := flags.String("out", "", "`directory` of the release")
	var act func() error
	switch args[0] {
	case "pack":
		p := packer{log: stdout}
		platform := flags.String("platform", "", "`platform` of the program, as in linux/amd64")
		flags.StringVar(&p.program, "program", "bin/skiff", "host program")
		flags.StringVar(&p.image, "image", "bin/image", "`directory` of the node image")
		flags.StringVar(&p.man, "man", "", "`directory` of the man pages")
		flags.StringVar(&p.completions, "completions", "", "`directory` of the shell completions")
		flags.StringVar(&p.documents, "documents", ".", "`directory` of LICENSE, README.md and CHANGELOG.md")
		flags.StringVar(&p.nfpm, "nfpm", "build/tools/nfpm", "nfpm, which writes Debian packages")
		seconds := flags.Int64("time", 0, "time of all files, in seconds since 1970")
		act = func() error {
			p.name, p.out, p.time = name{Version: strings.TrimPrefix(*version, "v")}, *out, time.Unix(*seconds, 0).UTC()
			p.name.OS, p.name.Arch, _ = strings.Cut(*platform, "/")
			return p.run(ctx)
		}
	case "sign":
		s := signer{log: stdout, environment: os.Getenv}
		flags.BoolVar(&s.snapshot, "snapshot", false, "sign with a new key that is not kept")
		act = func() error {
			s.version, s.out = strings.TrimPrefix(*version, "v"), *out
			return s.run()
		}
	default:
		fmt.Fprintln(stderr, usage)
		return errUsage
	}
	if err := flags.Parse(args[1:]); err != nil {
		return errUsage
	}
	if !versions.MatchString(*version) || *out == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "release: -version, as in v0.2.0 or v0.2.0-rc.1, and -out are required, without further arguments")
		return errUsage
	}
	return act()
}
