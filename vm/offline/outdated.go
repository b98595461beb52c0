package offline

import (
	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/image"
)

// MarkOutdated marks the nodes whose machines run another node image than the one in imageDir
// for the cluster's version of Kubernetes. Without such an image, it marks none.
func MarkOutdated(imageDir string, status *daemonapi.ClusterStatus) {
	if imageDir == "" {
		return
	}
	version := manifest.Minor(status.Kubernetes)
	if status.Upgrade != nil {
		version = manifest.Minor(status.Upgrade.To)
	}
	img, err := image.Find(imageDir, version)
	if err != nil || version == "" {
		return // without an image there is nothing to compare with
	}
	for i, n := range status.Nodes {
		current := img
		if n.Arch != "" {
			if current, err = image.FindForeign(imageDir, img, n.Arch); err != nil {
				continue
			}
		}
		status.Nodes[i].Outdated = n.Image != "" && n.Image != current.Digest
	}
}
