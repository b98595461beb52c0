package main

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
	"sync"
	"sync/atomic"
	"time"

	"github.com/distribution/reference"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/archive"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/image"
)

// openImages finds and checks all that is to be loaded, before any of it is.
func (a *app) openImages(ctx context.Context, args []string) ([]imageSource, error) {
	arch, err := nodeArch()
	if err != nil {
		return nil, err
	}
	var sources []imageSource
	for _, arg := range args {
		source, err := a.findImage(ctx, arg)
		if err != nil {
			return sources, err
		}
		sources = append(sources, source)
		if err := check(&sources[len(sources)-1], arch); err != nil {
			return sources, err
		}
	}
	return sources, nil
}

// nodeArch is the architecture that the nodes run: the node image's, or this
// host's where there is none yet.
func nodeArch() (string, error) {
	dir, err := imageDir()
	if err != nil {
		return "", err
	}
	node, err := image.Read(dir)
	if errors.Is(err, image.ErrNotFound) {
		return runtime.GOARCH, nil
	}
	return node.Arch, err
}

// findImage turns an argument into an archive: standard input, a file, or an
// image of a container engine on this host.
func (a *app) findImage(ctx context.Context, arg string) (imageSource, error) {
	if arg == "-" {
		return spool("standard input", func(w io.Writer) error {
			_, err := io.Copy(w, a.stdin)
			return err
		})
	}
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.Mode().IsRegular():
		return imageSource{title: arg, path: arg}, nil
	case err == nil:
		return imageSource{}, invalid("give an archive, such as one written by `docker save`", "%s is not a regular file", arg)
	case looksLikeFile(arg):
		return imageSource{}, invalid("", "%s: no such file", arg)
	}
	if _, err := reference.ParseNormalizedNamed(arg); err != nil {
		return imageSource{}, invalid("", "%q is neither a file nor an image name", arg)
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
func fromEngine(ctx context.Context, name string) (imageSource, error) {
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
		return spool(engine+" image "+name, func(w io.Writer) error {
			var failure strings.Builder
			save := exec.CommandContext(ctx, program, "save", name)
			save.Stdout, save.Stderr = w, &limited{&failure}
			if err := save.Run(); err != nil {
				return fmt.Errorf("%s save %s: %w: %s", engine, name, err, lastLine(failure.String()))
			}
			return nil
		})
	}
	if len(asked) == 0 {
		return imageSource{}, invalid("to load an image by name, install docker, nerdctl or podman", "%s: no such file", name)
	}
	return imageSource{}, invalid("give a file, or an image that exists in "+strings.Join(asked, " or "), "%s: no such file or image", name)
}

// spool writes an archive to a temporary file, since it is read more than once.
func spool(title string, fill func(io.Writer) error) (imageSource, error) {
	temp, err := os.CreateTemp("", "skiff-image-*.tar")
	if err != nil {
		return imageSource{}, fmt.Errorf("keep %s: %w", title, err)
	}
	source := imageSource{title: title, path: temp.Name(), temporary: true}
	if err := errors.Join(fill(temp), temp.Close()); err != nil {
		source.close()
		return imageSource{}, fmt.Errorf("read %s: %w", title, err)
	}
	return source, nil
}

// check reads the archive to its end and notes its size and the images' names.
func check(s *imageSource, arch string) error {
	file, err := os.Open(s.path)
	if err != nil {
		return invalid("", "%s", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	images, err := archive.Read(file, arch)
	switch {
	case errors.Is(err, archive.ErrPlatform):
		return invalid("build it for linux/"+arch+"; nothing was loaded", "%s: %s", s.title, err)
	case err != nil:
		return invalid("nothing was loaded", "%s: %s", s.title, err)
	}
	s.size = info.Size()
	for _, i := range images {
		s.names = append(s.names, i.Names...)
	}
	return nil
}

// load sends the archives one after the other, each to all nodes at once.
func (a *app) load(ctx context.Context, c *client.Client, nodes []string, sources []imageSource, asJSON bool) error {
	results := []loaded{}
	for _, s := range sources {
		begun := time.Now()
		meter := newMeter(nodes, s.size)
		stop := meter.show(a)
		_, err := onEach(nodes, func(node string) (struct{}, error) {
			return struct{}{}, sendImage(ctx, c, node, s, meter.of(node))
		})
		stop()
		if err != nil {
			return fmt.Errorf("load %s: %w", s.title, err)
		}
		results = append(results, loaded{s.title, normalized(s.names), nodes, time.Since(begun).Seconds()})
		if !asJSON {
			fmt.Fprintf(a.stdout, "loaded %s onto %s in %.1f s\n", strings.Join(normalized(s.names), ", "), strings.Join(nodes, ", "), time.Since(begun).Seconds())
		}
	}
	if asJSON {
		return a.printJSON(results)
	}
	return nil
}

// sendImage streams one archive into a node's containerd.
func sendImage(ctx context.Context, c *client.Client, node string, s imageSource, sent *atomic.Int64) error {
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer file.Close()
	ctr := func(stdin io.Reader, args ...string) (string, error) {
		return capture(ctx, c, node, stdin, append([]string{"ctr", "--namespace", "k8s.io", "images"}, args...)...)
	}
	if _, err := ctr(&counted{file, sent}, "import", "--local", "-"); err != nil {
		return err
	}
	// An OCI layout may say "app:1" where the kubelet asks for
	// docker.io/library/app:1; docker save's names are made whole on import.
	var short []string
	for _, name := range s.names {
		if normalized([]string{name})[0] != name {
			short = append(short, name)
		}
	}
	if len(short) == 0 {
		return nil
	}
	present, err := ctr(nil, "list", "--quiet")
	if err != nil {
		return err
	}
	for _, name := range short {
		if !slices.Contains(strings.Fields(present), name) {
			continue
		}
		if _, err := ctr(nil, "tag", "--force", name, normalized([]string{name})[0]); err != nil {
			return err
		}
	}
	return nil
}

// normalized are names as the kubelet asks for them.
func normalized(names []string) []string {
	var full []string
	for _, name := range names {
		if ref, err := reference.ParseDockerRef(name); err == nil {
			name = ref.String()
		}
		full = append(full, name)
	}
	return full
}

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// meter shows how much of an archive each node has got.
type meter struct {
	nodes []string
	size  int64
	sent  []atomic.Int64
}

func newMeter(nodes []string, size int64) *meter {
	return &meter{nodes: nodes, size: size, sent: make([]atomic.Int64, len(nodes))}
}

func (m *meter) of(node string) *atomic.Int64 {
	for i, name := range m.nodes {
		if name == node {
			return &m.sent[i]
		}
	}
	return &atomic.Int64{}
}

func (m *meter) String() string {
	var parts []string
	for i, node := range m.nodes {
		switch percent := m.sent[i].Load() * 100 / max(1, m.size); {
		case percent < 100:
			parts = append(parts, fmt.Sprintf("%s %d%%", node, percent))
		default:
			parts = append(parts, node+" unpacking")
		}
	}
	return strings.Join(parts, "  ")
}

// show draws the meter on a terminal until stop is called, and nothing elsewhere.
func (m *meter) show(a *app) (stop func()) {
	if !isTerminal(a.stderr) {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprintf(a.stderr, "\r\033[K%s", m)
			select {
			case <-done:
				fmt.Fprint(a.stderr, "\r\033[K")
				return
			case <-tick.C:
			}
		}
	})
	return func() { close(done); wg.Wait() }
}
