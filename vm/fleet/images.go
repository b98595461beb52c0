package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/operation"
)

// images are the node images of the cluster's machines. They are kept in its directory, so
// that a node starts again with its image after the program's own was replaced.
type images struct {
	dir string
	// source is the directory of this host's images, cache that of results of verifying them.
	source, cache string
	log           *slog.Logger

	mu      sync.Mutex // guards what follows
	all     map[string]image.Image
	current cluster.Image // the cluster's own, apart from an upgrade
}

// openImages reads the images of a cluster that is about to be opened for spec: the current
// one, or those of the upgrade in its state.
func openImages(config Config, state cluster.State, spec cluster.Spec) (*images, error) {
	i := &images{dir: config.Dir.Images(), source: config.ImageDir, cache: config.Cache, log: config.Log, all: map[string]image.Image{}}
	if state.Upgrade == nil {
		found, err := findImages(config.ImageDir, config.Cache, cmp.Or(spec.KubernetesVersion, state.Spec.KubernetesVersion), spec)
		if err != nil {
			return nil, err
		}
		i.current, err = i.add(found...)
		return i, errors.Join(err, i.prune(state))
	}
	if err := cluster.CheckForeign(state, spec); err != nil {
		return nil, operation.Invalid(err, "")
	}
	i.current = state.Upgrade.From
	for _, digest := range upgradeImages(state) {
		img, err := image.Kept(i.dir, digest)
		if err != nil {
			// A newer program cannot use older images. It starts their nodes with its own.
			i.log.Warn("a kept node image cannot be used", "image", digest, "error", err)
			continue
		}
		if err := img.Verify(config.Cache); err != nil {
			return nil, operation.Invalid(err, "")
		}
		i.all[digest] = img
	}
	return i, i.replace(config, state.Upgrade.To, spec)
}

// replace uses this host's images instead of those that an upgrade leads to and that cannot
// be used.
func (i *images) replace(config Config, to cluster.Image, spec cluster.Spec) error {
	_, native := i.all[to.Digest]
	_, foreign := i.all[to.Foreign]
	if native && (foreign || to.Foreign == "") {
		return nil
	}
	found, err := findImages(config.ImageDir, config.Cache, spec.KubernetesVersion, spec)
	if err != nil {
		return err
	}
	own, err := i.add(found...)
	if err != nil {
		return err
	}
	if !native {
		i.all[to.Digest] = i.all[own.Digest]
	}
	if !foreign && own.Foreign != "" {
		i.all[to.Foreign] = i.all[own.Foreign]
	}
	return nil
}

// upgradeImages returns the digests of the images that nodes have during an upgrade.
func upgradeImages(state cluster.State) []string {
	if state.Upgrade == nil {
		return nil
	}
	all := []cluster.Image{state.Upgrade.From, state.Upgrade.To}
	for _, m := range state.Machines {
		all = append(all, m.Image)
	}
	var digests []string
	for _, one := range all {
		for _, digest := range []string{one.Digest, one.Foreign} {
			if digest != "" && !slices.Contains(digests, digest) {
				digests = append(digests, digest)
			}
		}
	}
	return digests
}

// findImages reads and verifies the node images that spec needs, of a minor version of
// Kubernetes: the one for this host's architecture first.
func findImages(dir, cache, version string, spec cluster.Spec) ([]image.Image, error) {
	native, err := findImage(dir, cache, version)
	arch := cluster.ForeignArch(spec)
	if err != nil || arch == "" {
		return []image.Image{native}, err
	}
	foreign, err := findForeign(dir, cache, native, arch)
	return []image.Image{native, foreign}, err
}

func findForeign(dir, cache string, native image.Image, arch string) (image.Image, error) {
	img, err := image.FindForeign(dir, native, arch)
	if err != nil {
		return img, operation.NoForeignImage(err, native.Minor, arch)
	}
	if err := img.Verify(cache); err != nil {
		return img, operation.Invalid(err, "build it again with \"make image ARCH="+arch+"\", or download it again")
	}
	return img, nil
}

// findImage reads and verifies the node image for a minor version of Kubernetes.
func findImage(dir, cache, version string) (image.Image, error) {
	img, err := image.Find(dir, version)
	if err != nil {
		return img, operation.NoImage(err, version)
	}
	if err := img.Verify(cache); err != nil {
		return img, operation.Invalid(err, "build it again with \"make image\", or download it again")
	}
	return img, nil
}

// add keeps the result of findImages, so that machines can start with it.
func (i *images) add(found ...image.Image) (cluster.Image, error) {
	for _, img := range found {
		kept, err := image.Keep(img, i.dir)
		if err != nil {
			return cluster.Image{}, err
		}
		i.mu.Lock()
		i.all[kept.Digest] = kept
		i.mu.Unlock()
	}
	return identity(found), nil
}

// identity returns what the result of findImages is in a cluster's state.
func identity(found []image.Image) cluster.Image {
	one := cluster.Image{Digest: found[0].Digest, Kubernetes: found[0].Kubernetes}
	if len(found) > 1 {
		one.Foreign = found[1].Digest
	}
	return one
}

// addForeign adds the image for machines of another architecture to the cluster's own, if
// spec is the first one that has any. It returns its digest, "" if there are none.
func (i *images) addForeign(state cluster.State, spec cluster.Spec) (string, error) {
	if err := cluster.CheckForeign(state, spec); err != nil {
		return "", operation.Invalid(err, "")
	}
	arch, own := cluster.ForeignArch(spec), i.own()
	if arch == "" || own.Foreign != "" {
		return own.Foreign, nil
	}
	native, err := i.get(state, own, cluster.Node{})
	if err != nil {
		return "", err
	}
	img, err := findForeign(i.source, i.cache, native, arch)
	if err != nil {
		return "", err
	}
	if err := img.CheckRuntimes(spec.Runtimes); err != nil {
		return "", operation.Invalid(err, noRuntime)
	}
	if _, err := i.add(img); err != nil {
		return "", err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.current.Foreign = img.Digest
	return img.Digest, nil
}

// checkRuntimes returns a failure if one of the cluster's own images lacks a container runtime
// of spec.
func (i *images) checkRuntimes(spec cluster.Spec) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, digest := range []string{i.current.Digest, i.current.Foreign} {
		if img, ok := i.all[digest]; ok {
			if err := img.CheckRuntimes(spec.Runtimes); err != nil {
				return operation.Invalid(err, noRuntime)
			}
		}
	}
	return nil
}

// own returns the cluster's own image.
func (i *images) own() cluster.Image {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.current
}

// get returns an image that a node's machine starts with: during an upgrade by another program
// than the one that began it, the new one instead of one that the program cannot use.
func (i *images) get(state cluster.State, which cluster.Image, n cluster.Node) (image.Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if img, ok := i.all[which.DigestFor(n)]; ok {
		return img, nil
	}
	if state.Upgrade != nil {
		if img, ok := i.all[state.Upgrade.To.DigestFor(n)]; ok {
			return img, nil
		}
	}
	return image.Image{}, fmt.Errorf("%w: %s was removed from %s", image.ErrNotFound, which.DigestFor(n), i.dir)
}

// settle makes the image of a finished upgrade the cluster's own and removes the others.
func (i *images) settle(state cluster.State) error {
	if state.Upgrade != nil {
		return nil
	}
	i.mu.Lock()
	if img, ok := i.all[state.Image]; ok {
		i.current = cluster.Image{Digest: img.Digest, Kubernetes: img.Kubernetes, Foreign: state.ForeignImage}
	}
	i.mu.Unlock()
	return i.prune(state)
}

// prune removes images that no machine starts with.
func (i *images) prune(state cluster.State) error {
	own := i.own()
	err := image.Prune(i.dir, append(upgradeImages(state), own.Digest, own.Foreign)...)
	if errors.Is(err, fs.ErrPermission) {
		i.log.Warn("unused node images not removed", "error", err)
		return nil
	}
	return err
}
