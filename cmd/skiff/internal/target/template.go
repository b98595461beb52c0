package target

import (
	"os"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/template"
)

// TemplatesVariable is the environment variable that limits the disk space of templates, or turns them off.
const TemplatesVariable = "SKIFF_TEMPLATES"

// defaultTemplates is how much space templates take by default.
const defaultTemplates = "4Gi"

// TemplateSpace returns how much disk space templates may take, in bytes; 0 if they are turned
// off.
func TemplateSpace() (int64, error) {
	text := os.Getenv(TemplatesVariable)
	switch text {
	case "":
		text = defaultTemplates
	case "off":
		return 0, nil
	}
	quantity, err := resource.ParseQuantity(text)
	if err != nil || quantity.Sign() <= 0 {
		return 0, cli.Invalid("", "invalid %s %q: use a quantity such as 8Gi, or off", TemplatesVariable, text)
	}
	return quantity.Value(), nil
}

// Shape is the shape of a new cluster, by which it finds its template.
type Shape struct {
	Key string
	// Spec is the configuration of the cluster, with the version of Kubernetes.
	Spec  cluster.Spec
	Image image.Image
}

// ShapeOf returns the shape of a new cluster, or in one clause why such clusters have no
// template.
func ShapeOf(spec cluster.Spec) (shape Shape, unsuitable string, err error) {
	if err := drivers.CanKeepMemory(spec.Driver); err != nil {
		return shape, err.Error(), nil
	}
	dir, err := ImageDir()
	if err != nil {
		return shape, "", err
	}
	found, err := image.Find(dir, spec.KubernetesVersion)
	if err != nil {
		return shape, "", err
	}
	spec.KubernetesVersion = found.Minor
	if reason := template.Unsuitable(spec); reason != "" {
		return shape, reason, nil
	}
	key, err := template.Key(spec, found.Digest)
	return Shape{Key: key, Spec: spec, Image: found}, "", err
}

// TemplateClient returns a client for the cluster of which a template is made. It ends with this
// process.
func TemplateClient(h home.Home, key string) (*client.Client, error) {
	return clientIn(h.Template(key), template.Dir(h, key).Name(), "--owner", strconv.Itoa(os.Getpid()))
}

// TemplateWaste returns the templates that may be removed: those that no cluster can begin with,
// because of the installed node images for example, and those that do not fit into the space for
// templates.
func TemplateWaste(h home.Home) ([]template.Waste, error) {
	space, err := TemplateSpace()
	if err != nil {
		return nil, err
	}
	dir, err := ImageDir()
	if err != nil {
		return nil, err
	}
	found, err := image.List(dir)
	if err != nil {
		return nil, err
	}
	kept := template.Kept{Bytes: space}
	for _, one := range found {
		kept.Images = append(kept.Images, one.Digest)
	}
	return template.FindWaste(h, kept, time.Now())
}
