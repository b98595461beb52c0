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

// maxDepth of indexes within indexes.
const maxDepth = 4

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

// manifest is an image manifest or an index: whichever field is there says so.
type manifest struct {
	Manifests []descriptor `json:"manifests"`
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
}

// platform is the part of an image's config that says where it runs.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

func (p platform) String() string { return p.OS + "/" + p.Architecture }

// layout reads the images of an OCI layout.
func (c *contents) layout(arch string) ([]Image, error) {
	var index manifest
	if err := c.document("index.json", &index); err != nil {
		return nil, err
	}
	// Several entries may name one image, or be platforms of one name.
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
			byDigest[d.Digest] = &Image{}
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

// imageName is a full name; a bare tag names no image.
func imageName(d descriptor) string {
	if name := d.Annotations[annotationName]; name != "" {
		return name
	}
	if ref := d.Annotations[annotationRef]; strings.ContainsAny(ref, "/:@") {
		return ref
	}
	return ""
}

// usable returns nil if d, or one of the images below it, is for linux on arch
// and whole.
func (c *contents) usable(d descriptor, name, arch string) error {
	var found []string
	err := c.find(d, arch, maxDepth, &found)
	if err == nil {
		return nil
	}
	if len(found) > 0 && errors.Is(err, ErrPlatform) {
		return fmt.Errorf("%w: %s is for %s, but the nodes run linux/%s", ErrPlatform, name, strings.Join(found, ", "), arch)
	}
	return fmt.Errorf("image %s: %w", name, err)
}

// find descends to the manifest for linux on arch. found collects the platforms
// seen on the way.
func (c *contents) find(d descriptor, arch string, depth int, found *[]string) error {
	var m manifest
	file, err := blob(d.Digest)
	if err != nil {
		return err
	}
	if err := c.document(file, &m); err != nil {
		return err
	}
	switch {
	case m.Config != nil:
		return c.whole(m, arch, found)
	case depth == 0:
		return fmt.Errorf("%w: indexes are nested too deeply", ErrFormat)
	}
	// Of other platforms only the manifest may be there: docker save leaves the
	// rest out when they were never pulled. A missing one is not searched.
	result := fmt.Errorf("%w: no image for linux/%s", ErrPlatform, arch)
	for _, child := range m.Manifests {
		err := c.find(child, arch, depth-1, found)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrPlatform) {
			result = err
		}
	}
	return result
}

// whole checks the platform of one image and that all its blobs are there.
func (c *contents) whole(m manifest, arch string, found *[]string) error {
	file, err := blob(m.Config.Digest)
	if err != nil {
		return err
	}
	if err := c.runsOn(file, arch, found); err != nil {
		return err
	}
	for _, layer := range m.Layers {
		file, err := blob(layer.Digest)
		if err != nil {
			return err
		}
		if err := c.present(file, layer.Size); err != nil {
			return err
		}
	}
	return nil
}

func (c *contents) runsOn(config, arch string, found *[]string) error {
	var p platform
	if err := c.document(config, &p); err != nil {
		return err
	}
	if p.Architecture == "" && p.OS == "" || p.Architecture == "unknown" { // an attestation, not an image
		return fmt.Errorf("%w: no platform", ErrPlatform)
	}
	if p != (platform{"linux", arch}) {
		if !slices.Contains(*found, p.String()) {
			*found = append(*found, p.String())
		}
		return fmt.Errorf("%w: %s", ErrPlatform, p)
	}
	return nil
}

// saved reads the images of docker save's older format.
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
		var found []string
		err := c.runsOn(e.Config, arch, &found)
		if len(found) > 0 {
			return nil, fmt.Errorf("%w: %s is for %s, but the nodes run linux/%s", ErrPlatform, e.RepoTags[0], found[0], arch)
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

// blob is the file of a digest.
func blob(digest string) (string, error) {
	hash, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: invalid sha256 digest %q", ErrFormat, digest)
	}
	return "blobs/sha256/" + hash, nil
}

// present checks a file and its size, if it is known (not negative).
func (c *contents) present(file string, size int64) error {
	switch have, ok := c.sizes[file]; {
	case !ok:
		return fmt.Errorf("%w: %s is missing", ErrTruncated, file)
	case c.harmed[file]:
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
