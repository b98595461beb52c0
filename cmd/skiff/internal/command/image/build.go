package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/buildkit"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// buildFlags are the flags of `skiff image build`.
type buildFlags struct {
	tags, args, secrets    []string
	file, target, progress string
	on, platform           string
	noCache, pull, push    bool
}

func newBuild(s cli.Streams) *cobra.Command {
	var flags buildFlags
	cmd := &cobra.Command{
		Use:   "build -t NAME[:TAG] DIRECTORY|-",
		Short: "Build an image onto every node",
		Long: `Build an image from a Dockerfile with BuildKit on a node, and load it onto every node of
the cluster. Nothing but skiff is needed on this host. The node gets the builder when it
builds for the first time; it ends when it was not used for ten minutes, and its layers are
kept for the next build.

The argument is the directory that the instructions copy from, without what its
.dockerignore excludes; - reads a Dockerfile that copies nothing from standard input. FROM
finds images that the nodes have, for example loaded ones, and otherwise pulls them as a
pod does, through the registry on this host. The builder's own frontend takes the place of
docker/dockerfile:1.

The image is for the architecture of the node that builds it. --platform chooses a node of
another one, if the cluster has any ("arch" of a group of nodes).

With --push, the image is also pushed to the registries in its names, with the credentials
of docker's configuration.`,
		Example: `  # Build the Dockerfile in this directory
  skiff image build -t app:1 .

  # Build one stage of another file, with an argument and a secret
  skiff image build -t app:1 -f build/Dockerfile --target test --build-arg VERSION=1.2 \
    --secret id=npmrc,src=$HOME/.npmrc .

  # Push the image to the registry on this host, too
  skiff image build --push -t localhost:5001/app:1 .`,
		Args: cli.Arguments(1, 1),
	}
	name := target.Flag(cmd)
	asJSON := cli.Output(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&flags.tags, "tag", "t", nil, "`name` of the image; may be repeated")
	f.StringVarP(&flags.file, "file", "f", "", "`path` of the Dockerfile (default DIRECTORY/Dockerfile)")
	f.StringArrayVar(&flags.args, "build-arg", nil, "`NAME=VALUE` of an ARG, or NAME of a variable; may be repeated")
	f.StringVar(&flags.target, "target", "", "build this `stage` instead of the last one")
	f.StringArrayVar(&flags.secrets, "secret", nil, "secret for RUN --mount=type=secret, as `id=ID,src=PATH` or id=ID,env=VARIABLE; may be repeated")
	f.BoolVar(&flags.noCache, "no-cache", false, "ignore the layers of earlier builds")
	f.BoolVar(&flags.pull, "pull", false, "ask registries for newer images, also if the nodes have them")
	f.BoolVar(&flags.push, "push", false, "push the image to the registries in its names, too")
	f.StringVar(&flags.progress, "progress", "auto", "`format` of the progress: auto, plain, json or quiet")
	f.StringVar(&flags.on, "node", "", "build on this `node` (default the first worker)")
	f.StringVar(&flags.platform, "platform", "", "build for this `platform`, linux/amd64 or linux/arm64, on a node that has it (default that of this host)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		build, cleanup, err := flags.build(s.In, args[0])
		defer cleanup()
		if err != nil {
			return err
		}
		return flags.run(cmd.Context(), s, *name, build, inJSON)
	}
	return cmd
}

// run builds the image on one node and loads it onto all.
func (f buildFlags) run(ctx context.Context, s cli.Streams, of string, build buildkit.Build, asJSON bool) error {
	dir, err := target.ImageDir()
	if err != nil {
		return err
	}
	program, err := buildkit.Program(dir)
	if err != nil {
		return err
	}
	c, nodes, err := findNodes(ctx, of)
	if err != nil {
		return err
	}
	on, err := nodes.builder(f.on, f.platform)
	if err != nil {
		return err
	}
	arch := nodes.arch(on)
	if arch != nodes.own {
		if program, err = buildkit.Program(filepath.Join(dir, arch)); err != nil {
			return err
		}
	}
	began := time.Now()
	built, err := spool(ctx, strings.Join(build.Names, ", "), func(w io.Writer) error {
		dial := func(ctx context.Context) (net.Conn, error) { return c.Node(on).Builder(ctx, program) }
		// gRPC gives up connecting after 20 s. A slow node needs longer to get the builder and
		// to start it.
		first, err := dial(ctx)
		if err == nil {
			err = first.Close()
		}
		if err != nil {
			return err
		}
		return buildkit.Run(ctx, dial, build, unclosed{w}, buildkit.Progress{Out: s.Err, Mode: f.progress})
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return explainBuild(err, build.Syntax)
	}
	defer built.close()
	if err := check(ctx, &built, nodes.own); err != nil {
		return err
	}
	shares, err := split([]source{built}, nodes, false)
	if err != nil {
		return err
	}
	if !asJSON {
		fmt.Fprintf(s.Text(), "built on %s in %.1f s\n", on, time.Since(began).Seconds())
	}
	if f.push {
		began := time.Now()
		digest, err := push(ctx, built.path, build.Names)
		if err != nil {
			return err
		}
		if !asJSON {
			fmt.Fprintf(s.Text(), "pushed %s as %s in %.1f s\n", strings.Join(build.Names, ", "), digest, time.Since(began).Seconds())
		}
	}
	return load(ctx, s, c, shares, asJSON)
}

// linux begins the names of platforms.
const linux = "linux/"

// checkPlatform returns an error for a platform that nodes cannot have; empty is valid.
func checkPlatform(platform string) error {
	arch, found := strings.CutPrefix(platform, linux)
	if platform == "" || found && slices.Contains(cluster.Architectures(), arch) {
		return nil
	}
	return cli.Invalid("use linux/amd64 or linux/arm64", "invalid platform %q", platform)
}

// buildNode returns the node that builds: always the same, because it has the layers of
// earlier builds, and rather not a control plane.
func buildNode(nodes []string) string {
	for _, name := range nodes {
		if strings.HasPrefix(name, "worker-") {
			return name
		}
	}
	return nodes[0]
}

// explainBuild adds a hint to an error of BuildKit that has none.
func explainBuild(err error, syntax string) error {
	text, hint := err.Error(), ""
	if _, cause, found := strings.Cut(text, "failed to solve: "); found {
		text = cause
	}
	switch {
	case syntax != "" && strings.Contains(text, syntax) && strings.Contains(text, "resolve"):
		hint = fmt.Sprintf("the Dockerfile asks for the frontend %s: without access to its registry, load it with \"skiff image load\", or remove the line \"# syntax=\"", syntax)
	case strings.Contains(text, "failed to resolve source metadata"):
		hint = "check the name and the access to its registry, or load the image with \"skiff image load\""
	}
	if hint == "" {
		return errors.New(text)
	}
	return withHint(text, hint)
}

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

// build checks the flags and returns the build. cleanup removes what it has created.
func (f buildFlags) build(stdin io.Reader, dir string) (b buildkit.Build, cleanup func(), err error) {
	cleanup = func() {}
	b = buildkit.Build{Target: f.target, NoCache: f.noCache, Pull: f.pull, Compress: f.push}
	if !buildkit.ValidMode(f.progress) {
		return b, cleanup, cli.Invalid("use auto, plain, json or quiet", "invalid progress %q", f.progress)
	}
	if b.Names, err = imageNames(f.tags); err != nil {
		return b, cleanup, err
	}
	if err := checkPlatform(f.platform); err != nil {
		return b, cleanup, err
	}
	if f.push {
		if err := checkPush(f.tags); err != nil {
			return b, cleanup, err
		}
	}
	if b.Args, err = buildArguments(f.args, os.LookupEnv); err != nil {
		return b, cleanup, err
	}
	if b.Secrets, err = buildSecrets(f.secrets); err != nil {
		return b, cleanup, err
	}
	if dir == "-" {
		return f.fromInput(stdin, b)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return b, cleanup, cli.Invalid("give the directory that the Dockerfile copies from, such as .", "%s is not a directory", dir)
	}
	b.Context, b.Dockerfile = dir, f.file
	if f.file == "" {
		b.Dockerfile = filepath.Join(dir, "Dockerfile")
	}
	if b.Syntax, err = buildkit.ReadSyntax(b.Dockerfile); err != nil {
		return b, cleanup, cli.Invalid("name the Dockerfile with -f", "%s", err)
	}
	return b, cleanup, nil
}

// fromInput completes a build whose Dockerfile is read from standard input, and whose
// directory is empty.
func (f buildFlags) fromInput(stdin io.Reader, b buildkit.Build) (buildkit.Build, func(), error) {
	none := func() {}
	if f.file != "" {
		return b, none, cli.Invalid("", "-f and - cannot be used together")
	}
	content, err := buildkit.ReadDockerfile(stdin)
	if err != nil {
		return b, none, cli.Invalid("", "read standard input: %s", err)
	}
	if slices.Contains(content, 0) {
		return b, none, cli.Invalid("unpack an archive into a directory and give that", "standard input is not a Dockerfile")
	}
	dir, err := os.MkdirTemp("", "skiff-build-")
	if err != nil {
		return b, none, err
	}
	cleanup := func() { _ = os.RemoveAll(dir) }
	b.Syntax, b.Context, b.Dockerfile = buildkit.Syntax(content), filepath.Join(dir, "context"), filepath.Join(dir, "Dockerfile")
	if err := os.Mkdir(b.Context, 0o700); err != nil {
		return b, cleanup, err
	}
	return b, cleanup, os.WriteFile(b.Dockerfile, content, 0o600)
}
