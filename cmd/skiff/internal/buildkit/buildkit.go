// Package buildkit builds an image with the builder of a node, which can read nothing of
// the host but the directory, the Dockerfile and the secrets of the build. It gets no
// credentials for registries: the host's own registry uses them when it pulls. A build
// ends with its context.
package buildkit

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"
)

// Build is what to build.
type Build struct {
	// Context is the directory of the build.
	Context string
	// Dockerfile is the path of the file with the instructions.
	Dockerfile string
	// Syntax is the image that the Dockerfile names as its frontend, if the builder's own
	// must not be used.
	Syntax string
	// Names of the image, as the kubelet asks for it.
	Names   []string
	Args    map[string]string
	Target  string
	Secrets []Secret
	// NoCache ignores layers of earlier builds. Pull asks registries even for images that
	// the node has.
	NoCache, Pull bool
	// Compress compresses the layers of the build, for an image that leaves this machine.
	Compress bool
}

// Secret is a file or a variable of the host that steps of a build can read.
type Secret struct{ ID, File, Variable string }

// Progress is where and how the progress is shown.
type Progress struct {
	Out io.Writer
	// Mode is one of auto, plain, json and quiet.
	Mode string
}

// Modes of Progress, in the order of the documentation.
var modes = map[string]progressui.DisplayMode{
	"auto": progressui.AutoMode, "plain": progressui.PlainMode,
	"json": progressui.RawJSONMode, "quiet": progressui.QuietMode,
}

// ValidMode reports whether Progress.Mode is known.
func ValidMode(mode string) bool { _, ok := modes[mode]; return ok }

// Run builds the image and writes it to archive as an OCI layout in a tar. dial connects
// to the builder.
func Run(ctx context.Context, dial Dial, b Build, archive io.WriteCloser, show Progress) error {
	options, err := b.options(archive)
	if err != nil {
		return err
	}
	display, err := progressui.NewDisplay(show.Out, modes[show.Mode])
	if err != nil {
		return err
	}
	builder, err := connect(ctx, dial)
	if err != nil {
		return err
	}
	defer func() { _ = builder.Close() }()
	events := make(chan *client.SolveStatus)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		_, err := builder.Solve(ctx, nil, options, events)
		return err
	})
	work.Go(func() error {
		// It shows what is left after a failure, and ends with the events.
		_, err := display.UpdateFrom(context.WithoutCancel(ctx), events)
		return err
	})
	return work.Wait()
}

// Dial connects to the builder of a node.
type Dial func(context.Context) (net.Conn, error)

func connect(ctx context.Context, dial Dial) (*client.Client, error) {
	builder, err := client.New(ctx, "passthrough:///builder", client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }))
	if err != nil {
		return nil, fmt.Errorf("connect to the builder: %w", err)
	}
	return builder, nil
}

// options returns the request to the builder.
func (b Build) options(archive io.WriteCloser) (client.SolveOpt, error) {
	files, err := fsutil.NewFS(b.Context)
	if err != nil {
		return client.SolveOpt{}, err
	}
	instructions, err := b.instructions()
	if err != nil {
		return client.SolveOpt{}, err
	}
	var sources []secretsprovider.Source
	for _, s := range b.Secrets {
		sources = append(sources, secretsprovider.Source{ID: s.ID, FilePath: s.File, Env: s.Variable})
	}
	secrets, err := secretsprovider.NewStore(sources)
	if err != nil {
		return client.SolveOpt{}, err
	}
	return client.SolveOpt{
		Frontend:      "dockerfile.v0",
		FrontendAttrs: b.attributes(),
		LocalMounts:   map[string]fsutil.FS{"context": files, "dockerfile": instructions},
		Session:       []session.Attachable{secretsprovider.NewSecretProvider(secrets)},
		Exports: []client.ExportEntry{{
			Type:   client.ExporterOCI,
			Attrs:  map[string]string{"name": strings.Join(b.Names, ","), "compression": b.compression()},
			Output: func(map[string]string) (io.WriteCloser, error) { return archive, nil },
		}},
	}, nil
}

// compression returns how new layers are compressed. For an archive that stays on this
// machine, compressing them would only take time.
func (b Build) compression() string {
	if b.Compress {
		return "gzip"
	}
	return "uncompressed"
}

// instructions has the Dockerfile and the list of excluded files that belongs to it.
func (b Build) instructions() (fsutil.FS, error) {
	dir, name := filepath.Split(b.Dockerfile)
	files, err := fsutil.NewFS(filepath.Clean(dir))
	if err != nil {
		return nil, err
	}
	return fsutil.NewFilterFS(files, &fsutil.FilterOpt{IncludePatterns: []string{name, name + ".dockerignore"}})
}

// attributes are the frontend's
// (https://github.com/moby/buildkit/blob/master/docs/reference/buildctl.md).
func (b Build) attributes() map[string]string {
	attributes := map[string]string{"filename": filepath.Base(b.Dockerfile), "image-resolve-mode": "local"}
	if b.Pull {
		attributes["image-resolve-mode"] = "pull"
	}
	if b.Target != "" {
		attributes["target"] = b.Target
	}
	if b.NoCache {
		attributes["no-cache"] = ""
	}
	if b.Syntax == "" {
		// The frontend takes it for the line of a Dockerfile that it was started for.
		attributes["cmdline"] = "docker/dockerfile:1"
	}
	for name, value := range maps.All(b.Args) {
		attributes["build-arg:"+name] = value
	}
	return attributes
}
