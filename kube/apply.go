package kube

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/kube/object"
)

// maxDocuments bounds the objects of one Apply.
const maxDocuments = 500

// ErrManifest reports that a manifest cannot be read. Nothing was changed.
var ErrManifest = errors.New("invalid manifest")

// ApplyOptions are the options of Apply.
type ApplyOptions struct {
	// Namespace of objects that do not name one; "default" if empty.
	Namespace string
	// Force takes over fields that other managers own.
	Force bool
	// DryRun makes the server check the objects without changing them.
	DryRun bool
	// Of is the version of the object that was edited, if the manifest is an edited
	// object. If the object has changed since, applying it fails.
	Of Version
}

// Version identifies one version of an object.
type Version struct {
	UID             string `json:"uid"`
	ResourceVersion string `json:"resourceVersion"`
}

// Applied is the result of applying one object of a manifest.
type Applied struct {
	Resource  string `json:"kind"` // as in "deployments.apps"
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Result is "created", "changed", "unchanged" or "failed".
	Result string `json:"result"`
	// Diff between the object before and after, in unified format; empty if they are
	// equal.
	Diff string `json:"diff,omitempty"`
	// Problem is why the object failed, in one line.
	Problem string `json:"problem,omitempty"`
	// Conflict is set if the object failed because other managers own its fields.
	Conflict bool `json:"conflict,omitempty"`
	// Changed is set if the object failed because it was changed since the version that
	// the manifest or the options name.
	Changed bool `json:"changed,omitempty"`
}

// Apply applies the objects of a YAML manifest with server-side apply. It continues
// after an object that fails. The error is the first failure; it wraps ErrManifest if
// the manifest is invalid.
func (c *Client) Apply(ctx context.Context, manifest string, options ApplyOptions) ([]Applied, error) {
	objects, err := documents(manifest)
	if err == nil && options.Of != (Version{}) && len(objects) != 1 {
		err = errors.New("an edited object must stay one object")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	var all []Applied
	var failure error
	for _, o := range objects {
		applied, err := c.applyOne(ctx, o, options)
		if err != nil {
			applied.Result, applied.Problem = "failed", Reason(err)
			applied.Changed = Outdated(err)
			applied.Conflict = apierrors.IsConflict(err) && !applied.Changed
			if failure == nil {
				failure = err
			}
		}
		all = append(all, applied)
	}
	return all, failure
}

// documents reads the objects of a manifest, including those in lists.
func documents(manifest string) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	for n := 1; ; n++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		found, err := ParseObjects(document)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		if all = append(all, found...); len(all) > maxDocuments {
			return nil, fmt.Errorf("more than %d objects", maxDocuments)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("it contains no object")
	}
	return all, nil
}

// ParseObjects reads the object of a YAML document, or those of a list. There is none if the
// document is empty.
func ParseObjects(document []byte) ([]*unstructured.Unstructured, error) {
	content, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	if content = bytes.TrimSpace(content); len(content) == 0 || string(content) == "null" {
		return nil, nil
	}
	var o unstructured.Unstructured
	if err := json.Unmarshal(content, &o.Object); err != nil {
		return nil, errors.New("it is not an object")
	}
	all := []*unstructured.Unstructured{&o}
	if o.IsList() {
		list, err := o.ToList()
		if err != nil {
			return nil, err
		}
		all = nil
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
	}
	for _, o := range all {
		if o.GetKind() == "" || o.GetAPIVersion() == "" || o.GetName() == "" {
			return nil, errors.New("an object needs apiVersion, kind and metadata.name")
		}
	}
	return all, nil
}

func (c *Client) applyOne(ctx context.Context, o *unstructured.Unstructured, options ApplyOptions) (Applied, error) {
	applied := Applied{Resource: oneLine(o.GetKind()), Namespace: oneLine(o.GetNamespace()), Name: oneLine(o.GetName())}
	resource, err := c.resourceOf(ctx, o)
	if err != nil {
		return applied, err
	}
	applied.Resource = resource.ID()
	if resource.Namespaced && o.GetNamespace() == "" {
		if applied.Namespace = options.Namespace; applied.Namespace == "" {
			applied.Namespace = metav1.NamespaceDefault
		}
		o.SetNamespace(applied.Namespace)
	}
	o.SetManagedFields(nil) // the server refuses them
	if options.Of != (Version{}) {
		o.SetUID(types.UID(options.Of.UID)) // so that a deleted object is not created again
		o.SetResourceVersion(options.Of.ResourceVersion)
	}
	body, err := o.MarshalJSON()
	if err != nil {
		return applied, err
	}
	client := c.resourceClient(object.Ref{Cluster: c.name, Resource: resource, Namespace: applied.Namespace, Name: o.GetName()})
	before, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return applied, err
	}
	after, err := client.Patch(ctx, o.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
		FieldManager: c.config.UserAgent, Force: &options.Force, FieldValidation: metav1.FieldValidationStrict, DryRun: dryRun(options.DryRun),
	})
	if err != nil {
		return applied, err
	}
	applied.Diff, err = difference(before, after)
	switch {
	case before == nil:
		applied.Result = "created"
	case applied.Diff == "":
		applied.Result = "unchanged"
	default:
		applied.Result = "changed"
	}
	return applied, err
}

// Outdated reports whether a change failed because the object was changed or replaced
// since the version that the change was made for.
func Outdated(err error) bool {
	if !apierrors.IsConflict(err) {
		return false
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return true
	}
	return !slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool { return c.Type == metav1.CauseTypeFieldManagerConflict })
}

// resourceOf returns the resource of an object, in the version that it names.
func (c *Client) resourceOf(ctx context.Context, o *unstructured.Unstructured) (object.Resource, error) {
	kind := metav1.OwnerReference{APIVersion: o.GetAPIVersion(), Kind: o.GetKind()}
	ref, err := c.owner(ctx, object.Ref{}, kind)
	if err != nil { // its definition may be new
		// Discovery also fails if an aggregated API does not answer; the other resources are usable.
		if known, err := c.discover(ctx); len(known) == 0 && err != nil {
			return object.Resource{}, err
		}
		if ref, err = c.owner(ctx, object.Ref{}, kind); err != nil {
			return object.Resource{}, err
		}
	}
	ref.Resource.Version = o.GroupVersionKind().Version
	return ref.Resource, nil
}

// difference returns the changes between two versions of an object in unified format,
// without the metadata that the server maintains.
func difference(before, after *unstructured.Unstructured) (string, error) {
	var texts [2]string
	for i, o := range []*unstructured.Unstructured{before, after} {
		if o == nil {
			continue
		}
		o = o.DeepCopy()
		for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"} {
			unstructured.RemoveNestedField(o.Object, "metadata", field)
		}
		content, err := yaml.Marshal(o.Object)
		if err != nil {
			return "", err
		}
		texts[i] = string(content)
	}
	if texts[0] == texts[1] {
		return "", nil
	}
	return difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(texts[0]), B: difflib.SplitLines(texts[1]), FromFile: "before", ToFile: "after", Context: 3,
	})
}
