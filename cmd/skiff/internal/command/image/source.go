package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/archive"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/image"
)

// source is an image archive on this host that has been checked.
type source struct {
	title string
	path  string
	size  int64
	// variants are what it has for each architecture, the nodes' own first.
	variants []archive.Variant
	// temporary files are removed by close.
	temporary bool
}

// content is what of a source nodes of one architecture get.
type content struct {
	source
	arch  string
	names []string // as written in the archive
	// layers of all images, each once.
	layers []archive.Layer
	// pinned are further names, with a digest.
	pinned []pin
	// loaded is the value of names.LabelLoaded.
	loaded string
}

// forArch returns what nodes of an architecture get, or why they get nothing.
func (s source) forArch(arch string) (content, error) {
	c := content{source: s, arch: arch}
	i := slices.IndexFunc(s.variants, func(v archive.Variant) bool { return v.Arch == arch })
	if i < 0 {
		return c, fmt.Errorf("%s has nothing for linux/%s", s.title, arch)
	}
	if err := s.variants[i].Missing; err != nil {
		return c, s.unusable(s.variants[i])
	}
	for _, image := range s.variants[i].Images {
		c.names = append(c.names, image.Names...)
		c.pinned = append(c.pinned, pins(image)...)
		for _, layer := range image.Layers {
			if !slices.Contains(c.layers, layer) {
				c.layers = append(c.layers, layer)
			}
		}
	}
	return c, nil
}

// unusable returns the error of a variant that is not complete.
func (s source) unusable(v archive.Variant) error {
	if errors.Is(v.Missing, archive.ErrPlatform) {
		return cli.Invalid("build it for linux/"+v.Arch+"; nothing was loaded", "%s: %s", s.title, v.Missing)
	}
	return cli.Invalid("nothing was loaded", "%s: %s", s.title, v.Missing)
}

func (s source) close() {
	if s.temporary {
		os.Remove(s.path)
	}
}

// openSources finds and checks all sources before any of them is loaded.
func openSources(ctx context.Context, stdin io.Reader, args []string) ([]source, error) {
	arch, err := nodeArch()
	if err != nil {
		return nil, err
	}
	var sources []source
	for _, arg := range args {
		found, err := findSource(ctx, stdin, arg)
		if err != nil {
			return sources, err
		}
		sources = append(sources, found)
		if err := check(ctx, &sources[len(sources)-1], arch); err != nil {
			return sources, err
		}
	}
	return sources, nil
}

// nodeArch returns the architecture of nodes that are not emulated: that of the node image, or
// of this host if there is none yet.
func nodeArch() (string, error) {
	dir, err := target.ImageDir()
	if err != nil {
		return "", err
	}
	node, err := image.Read(dir)
	if errors.Is(err, image.ErrNotFound) {
		return runtime.GOARCH, nil
	}
	return node.Arch, err
}

// findSource returns the archive that an argument refers to: standard input, a
// file, or an image of a container engine on this host.
func findSource(ctx context.Context, stdin io.Reader, arg string) (source, error) {
	if arg == "-" {
		return spool(ctx, "standard input", func(w io.Writer) error {
			_, err := io.Copy(w, stdin)
			return err
		})
	}
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.Mode().IsRegular():
		return source{title: arg, path: arg}, nil
	case err == nil:
		return source{}, cli.Invalid("give an archive, such as one written by `docker save`", "%s is not a regular file", arg)
	case looksLikeFile(arg):
		return source{}, cli.Invalid("", "%s: no such file", arg)
	}
	if _, err := reference.ParseNormalizedNamed(arg); err != nil {
		return source{}, cli.Invalid("", "%q is neither a file nor an image name", arg)
	}
	return fromEngine(ctx, arg)
}

func looksLikeFile(arg string) bool {
	for _, prefix := range []string{"/", "./", "../"} {
		if strings.HasPrefix(arg, prefix) {
			return true
		}
	}
	for _, suffix := range []string{".tar", ".tgz", ".tar.gz", ".gz", ".zst"} {
		if strings.HasSuffix(arg, suffix) {
			return true
		}
	}
	return false
}

// fromEngine saves an image of the first container engine that has it.
func fromEngine(ctx context.Context, name string) (source, error) {
	var asked []string
	for _, engine := range []string{"docker", "nerdctl", "podman"} {
		program, err := exec.LookPath(engine)
		if err != nil {
			continue
		}
		asked = append(asked, engine)
		if exec.CommandContext(ctx, program, "image", "inspect", name).Run() != nil {
			continue
		}
		return spool(ctx, engine+" image "+name, func(w io.Writer) error {
			var failure remote.Limited
			save := exec.CommandContext(ctx, program, "save", name)
			save.Stdout, save.Stderr = w, &failure
			if err := save.Run(); err != nil {
				return fmt.Errorf("%s save %s: %w: %s", engine, name, err, remote.LastLine(failure.String()))
			}
			return nil
		})
	}
	if len(asked) == 0 {
		return source{}, cli.Invalid("to load an image by name, install docker, nerdctl or podman", "%s: no such file", name)
	}
	return source{}, cli.Invalid("give a file, or an image that exists in "+strings.Join(asked, " or "), "%s: no such file or image", name)
}

// spool copies an archive to a temporary file, because it is read more than once.
// When ctx ends, a fill that is blocked is left behind: the process is about to exit.
func spool(ctx context.Context, title string, fill func(io.Writer) error) (source, error) {
	temp, err := os.CreateTemp("", "skiff-image-*.tar")
	if err != nil {
		return source{}, fmt.Errorf("keep %s: %w", title, err)
	}
	spooled := source{title: title, path: temp.Name(), temporary: true}
	filled := make(chan error, 1)
	go func() { filled <- fill(temp) }()
	select {
	case err = <-filled:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		spooled.close()
		return source{}, fmt.Errorf("read %s: %w", title, err)
	}
	return spooled, nil
}

// check reads the whole archive and stores its size and what it has for nodes: those of arch,
// the own architecture, and emulated ones. It returns an error if none of them could run it.
func check(ctx context.Context, s *source, arch string) error {
	file, err := os.Open(s.path)
	if err != nil {
		return cli.Invalid("", "%s", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	archs := []string{arch}
	for _, other := range cluster.Architectures() {
		if other != arch {
			archs = append(archs, other)
		}
	}
	s.size = info.Size()
	s.variants, err = archive.ReadFor(ctx, file, archs...)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return cli.Invalid("nothing was loaded", "%s: %s", s.title, err)
	}
	own := s.variants[0]
	if own.Missing == nil || errors.Is(own.Missing, archive.ErrPlatform) && slices.ContainsFunc(s.variants, func(v archive.Variant) bool { return v.Missing == nil }) {
		return nil
	}
	return s.unusable(own)
}
