// Package operation asks the user for the details of operations that several
// screens offer.
package operation

import (
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Run returns the request to run an operation.
func Run(o machine.Operation) []screen.Request {
	return []screen.Request{screen.Run{Operation: o}}
}

// LoadImage asks for an image to load into the nodes of a cluster.
func LoadImage(cluster string) []screen.Request {
	form := widget.NewForm("Load image into "+cluster, []widget.Field{
		{Name: "image", Label: "Image", Hint: "archive from docker save, or an image name known to the container engine on this host"},
	})
	return []screen.Request{screen.Fill{Form: form, Then: func(v map[string]string) []screen.Request {
		if v["image"] == "" {
			return screen.Failure("image must not be empty")
		}
		return Run(machine.LoadImage{Cluster: cluster, Image: v["image"]})
	}}}
}
