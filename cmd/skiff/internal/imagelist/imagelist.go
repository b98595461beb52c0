// Package imagelist merges the image lists of several nodes.
package imagelist

import (
	"bufio"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// NodeImage is a line of nerdctl's list of images.
type NodeImage struct {
	Name, Digest, Size string
	Repository, Tag    string
}

// Image is one image of a cluster.
type Image struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	// Size of the unpacked layers, as nerdctl prints it.
	Size  string   `json:"size"`
	Nodes []string `json:"nodes"`
}

// Parse reads nerdctl's list of images, one JSON object per line. It skips images
// without a tag, which are other names of images with one.
func Parse(text string) ([]NodeImage, error) {
	var images []NodeImage
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var image NodeImage
		if err := json.Unmarshal(lines.Bytes(), &image); err != nil {
			return nil, fmt.Errorf("read nerdctl's list of images: %w", err)
		}
		if image.Name == "" && image.Repository != "" {
			image.Name = image.Repository + ":" + image.Tag
		}
		if image.Name != "" && image.Tag != "" && image.Tag != "<none>" {
			images = append(images, image)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read nerdctl's list of images: %w", err)
	}
	return images, nil
}

// Merge combines the images of several nodes, sorted by name. A name with two
// digests is two images.
func Merge(nodes []string, perNode [][]NodeImage) []Image {
	type key struct{ name, digest string }
	byKey := map[key]*Image{}
	for i, images := range perNode {
		for _, image := range images {
			k := key{image.Name, image.Digest}
			if byKey[k] == nil {
				byKey[k] = &Image{Name: image.Name, Digest: image.Digest, Size: image.Size}
			}
			if on := byKey[k].Nodes; len(on) == 0 || on[len(on)-1] != nodes[i] {
				byKey[k].Nodes = append(on, nodes[i])
			}
		}
	}
	merged := []Image{}
	for _, image := range byKey {
		merged = append(merged, *image)
	}
	sort.Slice(merged, func(i, j int) bool {
		if merged[i].Name != merged[j].Name {
			return merged[i].Name < merged[j].Name
		}
		return merged[i].Digest < merged[j].Digest
	})
	return merged
}
