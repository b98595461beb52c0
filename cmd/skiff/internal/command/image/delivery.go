package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/archive"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/vm/daemon/client"
)

const (
	// worthAsking is the size of layers, in bytes, from which it pays to ask nodes which
	// they have, and worthSharing that of one layer to put on all nodes at once.
	worthAsking, worthSharing = 1 << 20, 4 << 20
	// contentDir has the content of containerd, by digest.
	contentDir = "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/"
)

// delivery is which layers of an archive go to which nodes, and how.
type delivery struct {
	nodes  []string
	layers map[string]archive.Layer // by file
	// present are the files of layers that a node has.
	present map[string]map[string]bool
	// shares is set if the nodes' file systems are part of this host's.
	shares bool
	// omitted is set once a node does not get a layer from the archive.
	omitted atomic.Bool
}

// plan asks the nodes what they have. It returns nil if that is not worth the time.
func plan(ctx context.Context, c *client.Client, nodes []string, layers []archive.Layer) (*delivery, error) {
	var size int64
	for _, layer := range layers {
		size += layer.Size
	}
	if size < worthAsking {
		return nil, nil
	}
	listed, err := remote.OnEach(nodes, func(node string) (string, error) {
		return remote.Capture(ctx, c, node, nil, "ctr", "--namespace", "k8s.io", "content", "list", "--quiet")
	})
	if err != nil {
		return nil, err
	}
	return newDelivery(nodes, layers, listed, c.SharesFiles(ctx)), nil
}

// newDelivery plans by the digests that each node lists.
func newDelivery(nodes []string, layers []archive.Layer, listed []string, shares bool) *delivery {
	d := &delivery{nodes: nodes, layers: map[string]archive.Layer{}, present: map[string]map[string]bool{}, shares: shares}
	for i, node := range nodes {
		digests := map[string]bool{}
		for _, digest := range strings.Fields(listed[i]) {
			digests[digest] = true
		}
		for _, layer := range layers {
			d.layers[layer.File] = layer
			if !digests[layer.Digest] {
				continue
			}
			if d.present[node] == nil {
				d.present[node] = map[string]bool{}
			}
			d.present[node][layer.File] = true
		}
	}
	return d
}

// lacking returns the nodes that do not have a layer.
func (d *delivery) lacking(file string) []string {
	return slices.DeleteFunc(slices.Clone(d.nodes), func(node string) bool { return d.present[node][file] })
}

// share takes from an archive what no node needs to get from it: layers that all nodes
// have, and those that can be put on the others at once.
func (d *delivery) share(ctx context.Context, c *client.Client) func(string, int64, io.Reader) (bool, error) {
	return func(file string, size int64, content io.Reader) (bool, error) {
		layer, ok := d.layers[file]
		if !ok {
			return false, nil
		}
		nodes := d.lacking(file)
		if len(nodes) > 0 && (!d.shares || size < worthSharing) {
			return false, nil
		}
		d.omitted.Store(true)
		if len(nodes) == 0 {
			return true, nil
		}
		return true, put(ctx, c, nodes, layer, content)
	}
}

// skip takes from an archive the layers that a node has.
func (d *delivery) skip(node string) func(string, int64, io.Reader) (bool, error) {
	return func(file string, _ int64, _ io.Reader) (bool, error) {
		if !d.present[node][file] {
			return false, nil
		}
		d.omitted.Store(true)
		return true, nil
	}
}

// thin returns an archive without the layers that a node has. whole is closed with it.
func (d *delivery) thin(node string, whole io.ReadCloser) io.ReadCloser {
	if d == nil || d.present[node] == nil {
		return whole
	}
	return &thinned{archive.Divert(whole, d.skip(node)), whole}
}

// thinned is the result of thin.
type thinned struct {
	io.ReadCloser
	whole io.Closer
}

// Close closes both archives: the other branches of a fan wait for a branch that is neither
// read nor closed.
func (t *thinned) Close() error { return errors.Join(t.ReadCloser.Close(), t.whole.Close()) }

// put writes a layer where the nodes' containerd keeps content, and makes it known there.
// containerd reads the content again only if the file is not there.
func put(ctx context.Context, c *client.Client, nodes []string, layer archive.Layer, content io.Reader) error {
	sum := strings.TrimPrefix(layer.Digest, "sha256:")
	if err := c.PutFile(ctx, nodes, contentDir+sum, sum, content); err != nil {
		return err
	}
	ingest := fmt.Sprintf("ctr --namespace k8s.io content ingest --expected-size %d --expected-digest %s skiff-%s <%s%s",
		layer.Size, layer.Digest, sum, contentDir, sum)
	_, err := remote.OnEach(nodes, func(node string) (string, error) {
		return remote.Capture(ctx, c, node, nil, "sh", "-c", ingest)
	})
	return err
}
