package kube

import (
	"fmt"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// Merged is the result of Merge.
type Merged struct {
	// Manifest is the current object with the user's changes.
	Manifest string `json:"yaml"`
	// Diff is what others have changed, in unified format.
	Diff string `json:"diff"`
}

// Merge applies the changes of an edited manifest to the current one. original is the
// manifest that was edited. Lists of built-in kinds are merged by the keys of their
// elements, such as the names of containers. Where both have changed the same field, the
// edited manifest wins.
func Merge(original, edited, current string) (Merged, error) {
	var parts [3]unstructured.Unstructured
	for i, manifest := range []string{original, edited, current} {
		content, err := yaml.YAMLToJSONStrict([]byte(manifest))
		if err == nil {
			err = json.Unmarshal(content, &parts[i].Object)
		}
		if err != nil {
			return Merged{}, fmt.Errorf("%w: %w", ErrManifest, err)
		}
		if parts[i].Object == nil {
			return Merged{}, fmt.Errorf("%w: it is not an object", ErrManifest)
		}
	}
	before, mine, now := parts[0], parts[1], parts[2]
	if mine.GroupVersionKind() != now.GroupVersionKind() || mine.GetName() != now.GetName() || mine.GetNamespace() != now.GetNamespace() {
		return Merged{}, fmt.Errorf("%w: the kind and the name of an object cannot be changed", ErrManifest)
	}
	merged, err := merge(before, mine, now)
	if err != nil {
		return Merged{}, fmt.Errorf("merge the changes: %w", err)
	}
	result, err := yaml.JSONToYAML(merged)
	if err != nil {
		return Merged{}, err
	}
	for _, o := range []unstructured.Unstructured{before, now} {
		delete(o.Object, "status") // users do not edit it, and it changes often
	}
	diff, err := difference(&before, &now)
	return Merged{string(result), diff}, err
}

// merge returns now with the changes from before to mine.
func merge(before, mine, now unstructured.Unstructured) ([]byte, error) {
	var encoded [3][]byte
	for i, o := range []unstructured.Unstructured{before, mine, now} {
		var err error
		if encoded[i], err = json.Marshal(o.Object); err != nil {
			return nil, err
		}
	}
	typed, err := scheme.Scheme.New(now.GroupVersionKind())
	if err != nil { // a custom resource
		patch, err := jsonpatch.CreateMergePatch(encoded[0], encoded[1])
		if err != nil {
			return nil, err
		}
		return jsonpatch.MergePatch(encoded[2], patch)
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(encoded[0], encoded[1], typed)
	if err != nil {
		return nil, err
	}
	return strategicpatch.StrategicMergePatch(encoded[2], patch, typed)
}

// Overwrite returns an edited manifest as a new version of the current one: what the
// server maintains comes from the current one, and everything else from the edited one.
func Overwrite(edited, current string) (string, error) {
	var mine, now map[string]any
	if err := yaml.Unmarshal([]byte(edited), &mine); err != nil {
		return "", err
	}
	if err := yaml.Unmarshal([]byte(current), &now); err != nil {
		return "", err
	}
	for _, field := range maintained {
		value, ok, err := unstructured.NestedFieldCopy(now, field...)
		if err != nil {
			return "", err
		}
		unstructured.RemoveNestedField(mine, field...)
		if ok {
			if err := unstructured.SetNestedField(mine, value, field...); err != nil {
				return "", err
			}
		}
	}
	result, err := yaml.Marshal(mine)
	return string(result), err
}

// maintained are the fields that only the server sets.
var maintained = [][]string{
	{"metadata", "resourceVersion"}, {"metadata", "uid"}, {"metadata", "generation"}, {"metadata", "creationTimestamp"}, {"status"},
}
