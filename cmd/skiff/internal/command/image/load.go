package image

import (
	"context"
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
is loaded. Pods can refer to loaded images by name, and to those of an OCI layout also by
digest.`,
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
		c, nodes, err := target.Nodes(cmd.Context(), *name)
		if err != nil {
			return err
		}
		for _, n := range only {
			if err := target.CheckNode(n, nodes); err != nil {
				return err
			}
		}
		if len(only) > 0 {
			slices.Sort(only)
			nodes = slices.Compact(only)
		}
		return load(cmd.Context(), s, c, nodes, sources, inJSON)
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

// load sends the archives one after another, each to all nodes concurrently.
func load(ctx context.Context, s cli.Streams, c *client.Client, nodes []string, sources []source, asJSON bool) error {
	results := []loaded{}
	for _, from := range sources {
		begun := time.Now()
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

// sendAll streams an archive to all nodes concurrently. It is read and decompressed once.
func sendAll(ctx context.Context, c *client.Client, nodes []string, from source, meter *meter) error {
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
	branches, wait := fan(plain, len(nodes))
	defer wait()
	_, err = remote.OnEach(nodes, func(node string) (struct{}, error) {
		content := branches[slices.Index(nodes, node)]
		defer content.Close()
		return struct{}{}, sendImage(ctx, c, node, from, content)
	})
	return err
}

// sendImage streams an archive into the containerd of a node.
func sendImage(ctx context.Context, c *client.Client, node string, from source, content io.Reader) error {
	ctr := func(stdin io.Reader, args ...string) (string, error) {
		return remote.Capture(ctx, c, node, stdin, append([]string{"ctr", "--namespace", "k8s.io", "images"}, args...)...)
	}
	// Without --platform, ctr also imports what this CPU could run in 32 bits, which an
	// index may list and the archive may lack. --local does not look into compressed
	// archives.
	if _, err := ctr(content, "import", "--local", "--platform", "linux/"+from.arch, "-"); err != nil {
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
	names := strings.Fields(present)
	for _, tag := range tags {
		if !slices.Contains(names, tag.name) {
			tag.name = normalized([]string{tag.name})[0]
		}
		if !slices.Contains(names, tag.name) {
			continue
		}
		if _, err := ctr(nil, "tag", "--force", tag.name, tag.as); err != nil {
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
