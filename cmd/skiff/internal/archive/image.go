package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Annotations that name an image in an OCI layout, as containerd reads them.
const (
	annotationName = "io.containerd.image.name"
	annotationRef  = "org.opencontainers.image.ref.name"
)

// maxDepth bounds how deeply indexes are nested.
const maxDepth = 4

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

// manifest is an image manifest, which has a Config, or an index.
type manifest struct {
	Manifests []descriptor `json:"manifests"`
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
}

// platform is the part of an image's config that describes where it runs.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

func (p platform) String() string { return p.OS + "/" + p.Architecture }

// layout returns the images of an OCI layout.
func (c *contents) layout(arch string) ([]Image, error) {
	var index manifest
	if err := c.document("index.json", &index); err != nil {
		return nil, err
	}
	// Several entries may name the same image.
	var order []string
	byDigest := map[string]*Image{}
	for _, d := range index.Manifests {
		name := imageName(d)
		if name == "" {
			continue
		}
		if err := c.usable(d, name, arch); err != nil {
			return nil, err
		}
		if byDigest[d.Digest] == nil {
			byDigest[d.Digest] = &Image{Digest: d.Digest, Layers: c.find(d, arch, 0).layers}
			order = append(order, d.Digest)
		}
		byDigest[d.Digest].Names = append(byDigest[d.Digest].Names, name)
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("%w: save it under a full name, as `docker save NAME` does", ErrUnnamed)
	}
	var images []Image
	for _, digest := range order {
		images = append(images, *byDigest[digest])
	}
	return images, nil
}

// imageName returns the full name of an image, or "" for a bare tag.
func imageName(d descriptor) string {
	if name := d.Annotations[annotationName]; name != "" {
		return name
	}
	if ref := d.Annotations[annotationRef]; strings.ContainsAny(ref, "/:@") {
		return ref
	}
	return ""
}

// usable returns nil if d, or one of the images below it, is complete and runs on
// linux on arch.
func (c *contents) usable(d descriptor, name, arch string) error {
	result := c.find(d, arch, 0)
	if result.err == nil {
		return nil
	}
	if len(result.platforms) > 0 && errors.Is(result.err, ErrPlatform) {
		return fmt.Errorf("%w: %s is for %s, but the nodes run linux/%s", ErrPlatform, name, strings.Join(result.platforms, ", "), arch)
	}
	return fmt.Errorf("image %s: %w", name, result.err)
}

// found is the result of searching below a manifest or index.
type found struct {
	err       error
	platforms []string // those of the images that were seen
	layers    []Layer  // of the image
}

// find searches d and what is below it for an image for linux on arch. Each digest
// is searched once at each depth, however often indexes repeat it.
func (c *contents) find(d descriptor, arch string, depth int) found {
	at := place{d.Digest, depth}
	result, ok := c.searched[at]
	if !ok {
		result = c.search(d, arch, depth)
		c.searched[at] = result
	}
	return result
}

// place is a manifest or index at a depth below index.json.
type place struct {
	digest string
	depth  int
}

func (c *contents) search(d descriptor, arch string, depth int) found {
	var m manifest
	file, err := blob(d.Digest)
	if err == nil {
		err = c.document(file, &m)
	}
	switch {
	case err != nil:
		return found{err: err}
	case m.Config != nil:
		return c.complete(m, arch, depth == 0)
	case depth == maxDepth:
		return found{err: fmt.Errorf("%w: indexes are nested too deeply", ErrFormat)}
	}
	// Images for other platforms may be missing: docker save leaves out those that
	// were never pulled.
	result := found{err: fmt.Errorf("%w: no image for linux/%s", ErrPlatform, arch)}
	for _, child := range m.Manifests {
		below := c.find(child, arch, depth+1)
		if below.err == nil {
			return below
		}
		for _, p := range below.platforms {
			if len(result.platforms) < maxPlatforms && !slices.Contains(result.platforms, p) {
				result.platforms = append(result.platforms, p)
			}
		}
		if !errors.Is(below.err, ErrPlatform) {
			result.err = below.err
		}
	}
	return result
}

// maxPlatforms bounds how many platforms a message lists.
const maxPlatforms = 16

// complete checks the platform of an image and that all its blobs exist. An image
// that is not part of an index may leave its platform open.
func (c *contents) complete(m manifest, arch string, alone bool) found {
	file, err := blob(m.Config.Digest)
	if err != nil {
		return found{err: err}
	}
	if p, err := c.runsOn(file, arch, alone); err != nil {
		return found{err: err, platforms: p}
	}
	var layers []Layer
	for _, layer := range m.Layers {
		file, err := blob(layer.Digest)
		if err == nil {
			err = c.present(file, layer.Size)
		}
		if err != nil {
			return found{err: err}
		}
		layers = append(layers, Layer{File: file, Digest: layer.Digest, Size: layer.Size})
	}
	return found{layers: layers}
}

// runsOn returns an error unless the image with the given config runs on linux on
// arch, and then the platform that it is for. containerd runs an image that is not
// part of an index whatever its platform, so open accepts one without.
func (c *contents) runsOn(config, arch string, open bool) ([]string, error) {
	var p platform
	if err := c.document(config, &p); err != nil {
		return nil, err
	}
	switch {
	case p == platform{} && open, p == platform{"linux", arch}:
		return nil, nil
	case p.Architecture == "" || p.Architecture == "unknown": // an attestation, not an image
		return nil, fmt.Errorf("%w: the image has no platform", ErrPlatform)
	}
	return []string{p.String()}, fmt.Errorf("%w: %s", ErrPlatform, p)
}

// saved returns the images of an archive in the older format of docker save.
func (c *contents) saved(arch string) ([]Image, error) {
	var entries []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := c.document("manifest.json", &entries); err != nil {
		return nil, err
	}
	var images []Image
	for _, e := range entries {
		if len(e.RepoTags) == 0 {
			return nil, fmt.Errorf("%w: save it by its name, not by its ID", ErrUnnamed)
		}
		other, err := c.runsOn(e.Config, arch, true)
		if len(other) > 0 {
			return nil, fmt.Errorf("%w: %s is for %s, but the nodes run linux/%s", ErrPlatform, e.RepoTags[0], other[0], arch)
		}
		for _, layer := range e.Layers {
			err = errors.Join(err, c.present(layer, -1))
		}
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", e.RepoTags[0], err)
		}
		images = append(images, Image{Names: e.RepoTags})
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("%w: it contains no image", ErrFormat)
	}
	return images, nil
}

// blob returns the file name of a digest.
func blob(digest string) (string, error) {
	hash, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: invalid sha256 digest %q", ErrFormat, digest)
	}
	return "blobs/sha256/" + hash, nil
}

// present returns an error unless a file exists and is undamaged. A size below 0 is
// not checked.
func (c *contents) present(file string, size int64) error {
	switch have, ok := c.sizes[file]; {
	case !ok:
		return fmt.Errorf("%w: %s is missing", ErrTruncated, file)
	case c.damaged[file]:
		return fmt.Errorf("%w: %s is damaged: its content does not match its digest", ErrFormat, file)
	case size >= 0 && have != size:
		return fmt.Errorf("%w: %s has %d bytes, not %d", ErrFormat, file, have, size)
	}
	return nil
}

// document decodes a JSON file of the archive.
func (c *contents) document(file string, into any) error {
	if err := c.present(file, -1); err != nil {
		return err
	}
	content := c.documents[file]
	if content == nil {
		return fmt.Errorf("%w: %s is not a JSON document of at most %d MiB", ErrFormat, file, maxDocument>>20)
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrFormat, file, err)
	}
	return nil
}
