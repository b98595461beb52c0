package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/distribution/reference"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/archive"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/image"
)

// source is an image archive on this host that has been checked.
type source struct {
	title string
	path  string
	size  int64
	names []string // as written in the archive
	// pinned are further names, with a digest.
	pinned []pin
	arch   string
	// temporary files are removed by close.
	temporary bool
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

// nodeArch returns the architecture of the nodes: that of the node image, or of
// this host if there is none yet.
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

// check reads the whole archive and stores its size and the names of its images.
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
	images, err := archive.Read(ctx, file, arch)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, archive.ErrPlatform):
		return cli.Invalid("build it for linux/"+arch+"; nothing was loaded", "%s: %s", s.title, err)
	case err != nil:
		return cli.Invalid("nothing was loaded", "%s: %s", s.title, err)
	}
	s.size = info.Size()
	s.arch = arch
	for _, i := range images {
		s.names = append(s.names, i.Names...)
		s.pinned = append(s.pinned, pins(i)...)
	}
	return nil
}
