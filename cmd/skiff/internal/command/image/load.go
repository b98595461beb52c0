package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/distribution/reference"
	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/archive"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/vm/daemon/client"
)

func newLoad(s cli.Streams) *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use:   "load ARCHIVE|NAME...",
		Short: "Load images onto every node",
		Long: `Load images onto every node of a cluster. An argument is either an archive (an OCI layout
or the format of "docker save", as tar, plain or compressed with gzip or zstd; - reads
standard input) or the name of an image in docker, nerdctl or podman on this host. All
archives are checked first: if one is truncated or built for another architecture, nothing
is loaded. In a cluster with nodes of several architectures, each node gets the images for
its own, and those for which an archive has none are left out. Pods can refer to loaded
images by name, and to those of an OCI layout also by digest.

Nodes that join later, also by autoscaling and repairs, get the images from a control plane,
unless they were loaded with --node. Nodes of another architecture than the control planes'
do not.`,
		Example: `  # Load images from a container engine on this host
  skiff image load app:1 db:2

  # Load an archive
  skiff image load app.tar

  # Load an archive from standard input
  docker save app:1 | skiff image load -

  # Load onto one node only
  skiff image load app.tar --node worker-1`,
		Args: cli.Arguments(1, -1),
	}
	name := target.Flag(cmd)
	asJSON := cli.Output(cmd)
	cmd.Flags().StringSliceVar(&only, "node", nil, "load onto this `node` only; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		sources, err := openSources(cmd.Context(), s.In, args)
		defer func() {
			for _, opened := range sources {
				opened.close()
			}
		}()
		if err != nil {
			return err
		}
		c, nodes, err := findNodes(cmd.Context(), *name)
		if err != nil {
			return err
		}
		for _, n := range only {
			if err := target.CheckNode(n, nodes.names); err != nil {
				return err
			}
		}
		if len(only) > 0 {
			slices.Sort(only)
			nodes.names = slices.Compact(only)
		}
		shares, err := split(sources, nodes, len(only) > 0)
		if err != nil {
			return err
		}
		return load(cmd.Context(), s, c, shares, inJSON)
	}
	return cmd
}

// loaded is what `skiff image load -o json` prints for each source.
type loaded struct {
	Source string   `json:"source"`
	Images []string `json:"images"`
	Nodes  []string `json:"nodes"`
	// Seconds until the last node had the images.
	Seconds float64 `json:"seconds"`
}

// load sends the archives one after another, each to all nodes of an architecture
// concurrently.
func load(ctx context.Context, s cli.Streams, c *client.Client, shares []share, asJSON bool) error {
	results := []loaded{}
	for _, one := range shares {
		from, nodes, begun := one.content, one.nodes, time.Now()
		if one.missing != nil {
			fmt.Fprintf(s.Err, "note: not loaded onto %s: %s\n", strings.Join(nodes, ", "), one.missing)
			continue
		}
		meter := &meter{nodes: nodes, size: from.size}
		stop := meter.show(s.Err)
		err := sendAll(ctx, c, nodes, from, meter)
		stop()
		if err != nil {
			return fmt.Errorf("load %s: %w", from.title, err)
		}
		results = append(results, loaded{from.title, normalized(from.names), nodes, time.Since(begun).Seconds()})
		if !asJSON {
			fmt.Fprintf(s.Text(), "loaded %s onto %s in %.1f s\n", strings.Join(normalized(from.names), ", "), strings.Join(nodes, ", "), time.Since(begun).Seconds())
			fmt.Fprint(s.Text(), localHint(from.names))
		}
	}
	if asJSON {
		return s.JSON(results)
	}
	return nil
}

// localHint explains names that podman and buildah give to images that they built:
// a pod that asks for "app:1" means another image.
func localHint(names []string) string {
	for _, name := range names {
		if short, ok := strings.CutPrefix(name, "localhost/"); ok {
			return fmt.Sprintf("use %q in pods: %q means %s\n", name, short, normalized([]string{short})[0])
		}
	}
	return ""
}

// sendAll sends an archive to all nodes concurrently, at first without the layers that
// nodes have or can share.
func sendAll(ctx context.Context, c *client.Client, nodes []string, from content, meter *meter) error {
	d, err := plan(ctx, c, nodes, from.layers)
	if err != nil {
		return err
	}
	err = stream(ctx, c, nodes, from, meter, d)
	if err == nil || d == nil || !d.omitted.Load() || ctx.Err() != nil {
		return err
	}
	// A node may have lost a layer meanwhile.
	meter.sent.Store(0)
	return stream(ctx, c, nodes, from, meter, nil)
}

// stream sends an archive to all nodes. It is read and decompressed once.
func stream(ctx context.Context, c *client.Client, nodes []string, from content, meter *meter, d *delivery) error {
	file, err := os.Open(from.path)
	if err != nil {
		return err
	}
	defer file.Close()
	plain, err := archive.Decompress(&counted{file, &meter.sent})
	if err != nil {
		return err
	}
	defer plain.Close()
	if d != nil {
		plain = archive.Divert(plain, d.share(ctx, c))
		defer plain.Close()
	}
	// Nodes would wait for the rest of an archive that cannot be read.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	branches, wait := fan(&failing{plain, cancel}, len(nodes))
	defer wait()
	_, err = remote.OnEach(nodes, func(node string) (struct{}, error) {
		content := d.thin(node, branches[slices.Index(nodes, node)])
		defer content.Close()
		return struct{}{}, sendImage(ctx, c, node, from, content)
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// failing calls fail with the error that ends its Reader, unless that is io.EOF.
type failing struct {
	io.Reader
	fail func(error)
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.fail(err)
	}
	return n, err
}

// sendImage streams an archive into the containerd of a node.
func sendImage(ctx context.Context, c *client.Client, node string, from content, archive io.Reader) error {
	ctr := func(stdin io.Reader, args ...string) (string, error) {
		return remote.Capture(ctx, c, node, stdin, append([]string{"ctr", "--namespace", "k8s.io", "images"}, args...)...)
	}
	// Without --platform, ctr also imports what this CPU could run in 32 bits, which an
	// index may list and the archive may lack. --local does not look into compressed
	// archives.
	if _, err := ctr(archive, "import", "--local", "--platform", "linux/"+from.arch, "--label", names.LabelLoaded+"="+from.loaded, "-"); err != nil {
		return err
	}
	// An OCI layout may name an image "app:1" where the kubelet asks for
	// docker.io/library/app:1. Names of docker save are normalized on import.
	tags := slices.Clone(from.pinned)
	for _, name := range from.names {
		if full := normalized([]string{name})[0]; full != name {
			tags = append(tags, pin{name, full})
		}
	}
	if len(tags) == 0 {
		return nil
	}
	present, err := ctr(nil, "list", "--quiet")
	if err != nil {
		return err
	}
	has := strings.Fields(present)
	for _, tag := range tags {
		if !slices.Contains(has, tag.name) {
			tag.name = normalized([]string{tag.name})[0]
		}
		if !slices.Contains(has, tag.name) {
			continue
		}
		// Without --local, the new name would not have the label.
		if _, err := ctr(nil, "tag", "--local", "--force", tag.name, tag.as); err != nil {
			return err
		}
	}
	return nil
}

// pin is another name for an image on a node.
type pin struct{ name, as string }

// pins returns the names with a digest, such as docker.io/library/app@sha256:…, for
// which a pod may ask instead of those in the archive. The kubelet drops the tag
// from app:1@sha256:….
func pins(i archive.Image) []pin {
	var all []pin
	for _, name := range i.Names {
		named, err := reference.ParseDockerRef(name)
		if err != nil || i.Digest == "" {
			continue
		}
		full, err := reference.WithDigest(reference.TrimNamed(named), digest.Digest(i.Digest))
		if err == nil {
			all = append(all, pin{name, full.String()})
		}
	}
	return all
}

// normalized returns names as the kubelet asks for them.
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
