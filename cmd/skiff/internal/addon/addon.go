// Package addon reads the addons of a cluster (manifests, kustomizations and charts on this
// host), and applies them. Everything is read and checked before a cluster is changed.
package addon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/skiff-dev/skiff/kube/applyset"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// maxBytes bounds what is read for all addons of a cluster, and maxObjects the objects of
// one.
const (
	maxBytes   = 64 << 20
	maxObjects = 10000
)

// Kinds of addons.
const (
	KindManifests     = "manifests"
	KindKustomization = "kustomization"
	KindChart         = "chart"
)

// Addon is an addon whose files have been read.
type Addon struct {
	cluster.Addon
	Kind string
	// objects of manifests and kustomizations.
	objects []object
	// chart and values are set for a chart.
	chart  *chart.Chart
	values map[string]any
}

// object is an object with the place that it was read from.
type object struct {
	*unstructured.Unstructured
	place string
}

// Load reads addons. The error names the addon and, where there is one, the file and the
// line.
func Load(specs []cluster.Addon) ([]Addon, error) {
	var all []Addon
	left := int64(maxBytes)
	for _, spec := range specs {
		a, err := load(spec, &left)
		if err != nil {
			return nil, fmt.Errorf("addon %s: %w", spec.Name, err)
		}
		all = append(all, a)
	}
	return all, nil
}

// load reads one addon. left is the number of bytes that may still be read.
func load(spec cluster.Addon, left *int64) (a Addon, err error) {
	a.Addon = spec
	info, err := os.Stat(spec.Path())
	if err != nil {
		return a, fmt.Errorf("%s: %w", spec.Path(), withoutPath(err))
	}
	switch {
	case spec.Chart != "":
		a.Kind = KindChart
		err = a.loadChart(left)
	case info.IsDir() && hasKustomization(spec.Manifests):
		a.Kind = KindKustomization
		a.objects, err = kustomize(spec.Manifests)
	case info.IsDir() && exists(filepath.Join(spec.Manifests, "Chart.yaml")):
		return a, fmt.Errorf("%s is a chart: write {chart: %s}", spec.Path(), spec.Path())
	case info.IsDir():
		a.Kind = KindManifests
		a.objects, err = readDirectory(spec.Manifests, left)
	case info.Mode().IsRegular():
		a.Kind = KindManifests
		a.objects, err = readManifests(spec.Manifests, left)
	default:
		err = fmt.Errorf("%s is neither a file nor a directory", spec.Path())
	}
	if err == nil && spec.Chart == "" && len(a.objects) == 0 {
		err = fmt.Errorf("%s has no objects", spec.Path())
	}
	return a, err
}

// Source describes where the addon comes from.
func (a Addon) Source() string {
	if a.Kind == KindChart {
		return fmt.Sprintf("chart %s %s", a.chart.Name(), a.chart.Metadata.Version)
	}
	return a.Kind + " " + a.Manifests
}

// read returns the objects of the addon. Charts are rendered for a cluster.
func (a Addon) read(target Target) ([]object, error) {
	all := a.objects
	if a.Kind == KindChart {
		var err error
		if all, err = a.render(target); err != nil {
			return nil, err
		}
	}
	if len(all) > maxObjects {
		return nil, fmt.Errorf("it has %d objects: the maximum is %d", len(all), maxObjects)
	}
	return all, nil
}

// Set returns the objects of the addon for a cluster.
func (a Addon) Set(target Target) (applyset.Set, error) {
	objects, err := a.read(target)
	if err != nil {
		return applyset.Set{}, fmt.Errorf("addon %s: %w", a.Name, err)
	}
	set := applyset.Set{Name: a.Name, Namespace: a.Namespace, Source: a.Source(), Strict: a.Kind != KindChart}
	for _, o := range objects {
		set.Objects = append(set.Objects, o.Unstructured)
	}
	return set, nil
}

// Check returns an error if the objects of the addons cannot be made, or if two are the
// same. For a cluster that is not running it predicts which APIs the addons add.
func Check(addons []Addon, target Target) error {
	seen := map[string]string{}
	for _, a := range addons {
		objects, err := a.read(target)
		if err != nil {
			return fmt.Errorf("addon %s: %w", a.Name, err)
		}
		target = target.with(objects)
		for _, o := range objects {
			key := identity(o, a.Namespace)
			place := fmt.Sprintf("addon %s (%s)", a.Name, o.place)
			if other, ok := seen[key]; ok {
				return fmt.Errorf("%s is in %s and in %s", applyset.Name(o.Unstructured), other, place)
			}
			seen[key] = place
		}
	}
	return nil
}

// clusterScoped are the kinds of Kubernetes without a namespace that addons may have.
var clusterScoped = map[string]bool{
	"Namespace": true, "CustomResourceDefinition.apiextensions.k8s.io": true, "PersistentVolume": true, "StorageClass.storage.k8s.io": true,
	"ClusterRole.rbac.authorization.k8s.io": true, "ClusterRoleBinding.rbac.authorization.k8s.io": true, "APIService.apiregistration.k8s.io": true,
	"PriorityClass.scheduling.k8s.io": true, "RuntimeClass.node.k8s.io": true, "IngressClass.networking.k8s.io": true, "CSIDriver.storage.k8s.io": true,
	"MutatingWebhookConfiguration.admissionregistration.k8s.io": true, "ValidatingWebhookConfiguration.admissionregistration.k8s.io": true,
}

// identity identifies an object in a cluster.
func identity(o object, namespace string) string {
	kind := o.GroupVersionKind().GroupKind().String()
	in := o.GetNamespace()
	switch {
	case clusterScoped[kind]:
		in = ""
	case in == "" && namespace == "":
		in = "default"
	case in == "":
		in = namespace
	}
	return kind + "/" + in + "/" + o.GetName()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// withoutPath returns the reason of an error of a file operation.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
