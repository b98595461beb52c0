package kube

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// Manifest returns an object as YAML for editing, with the values of a secret.
func (c *Client) Manifest(ctx context.Context, ref object.Ref) (string, error) {
	o, err := c.resourceClient(ref).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return manifest(o, true)
}

// manifest returns an object as YAML without its managed fields. The values of
// a secret are replaced by their sizes unless reveal is set.
func manifest(o *unstructured.Unstructured, reveal bool) (string, error) {
	o = o.DeepCopy()
	unstructured.RemoveNestedField(o.Object, "metadata", "managedFields")
	if o.GetKind() == "Secret" && o.GroupVersionKind().Group == "" && !reveal {
		maskSecret(o)
	}
	encoded, err := yaml.Marshal(o.Object)
	return string(encoded), err
}

// decodeSecret returns a secret with its text values moved from data to
// stringData, where they are not encoded. Binary values stay in data.
func decodeSecret(secret *unstructured.Unstructured) *unstructured.Unstructured {
	encoded, _, err := unstructured.NestedStringMap(secret.Object, "data")
	if err != nil || secret.GetKind() != "Secret" {
		return secret
	}
	secret = secret.DeepCopy()
	texts := map[string]string{}
	for key, value := range encoded {
		if content, err := base64.StdEncoding.DecodeString(value); err == nil && utf8.Valid(content) {
			texts[key] = string(content)
			unstructured.RemoveNestedField(secret.Object, "data", key)
		}
	}
	if len(texts) == len(encoded) {
		unstructured.RemoveNestedField(secret.Object, "data")
	}
	if len(texts) > 0 {
		_ = unstructured.SetNestedStringMap(secret.Object, texts, "stringData")
	}
	return secret
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// maskSecret replaces the values of a secret by their sizes.
func maskSecret(o *unstructured.Unstructured) {
	for _, field := range []string{"data", "stringData"} {
		values, ok, _ := unstructured.NestedMap(o.Object, field)
		if !ok {
			continue
		}
		for key, value := range values {
			text, _ := value.(string)
			values[key] = fmt.Sprintf("•••••• (%d bytes)", secretSize(field, text))
		}
		_ = unstructured.SetNestedMap(o.Object, values, field)
	}
	// The last applied configuration contains the values, too.
	if annotations := o.GetAnnotations(); annotations[lastApplied] != "" {
		annotations[lastApplied] = "••••••"
		o.SetAnnotations(annotations)
	}
}

// secretSize returns the size of a secret's value in bytes.
func secretSize(field, text string) int {
	if field != "data" {
		return len(text)
	}
	return len(strings.TrimRight(text, "=")) * 3 / 4
}

// ApplyEdit sends the difference between two manifests of an object as a merge
// patch. It returns feed.ErrUnchanged if there is none, and an error that is Outdated
// if the object has changed since the original manifest was read.
func (c *Client) ApplyEdit(ctx context.Context, ref object.Ref, original, edited string) error {
	before, err := yaml.YAMLToJSON([]byte(original))
	if err != nil {
		return err
	}
	after, err := yaml.YAMLToJSONStrict([]byte(edited))
	if err != nil {
		return fmt.Errorf("invalid YAML: %w", err)
	}
	patch, err := jsonpatch.CreateMergePatch(before, after)
	if err != nil {
		return fmt.Errorf("compare with the original: %w", err)
	}
	if bytes.Equal(bytes.TrimSpace(patch), []byte("{}")) {
		return feed.ErrUnchanged
	}
	if patch, err = withVersion(patch, before); err != nil {
		return err
	}
	_, err = c.resourceClient(ref).Patch(ctx, ref.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: c.config.UserAgent})
	return err
}

// withVersion returns a merge patch that applies only to the version of the object that
// it was made for.
func withVersion(patch, before []byte) ([]byte, error) {
	var original struct {
		Metadata struct{ ResourceVersion string }
	}
	if err := json.Unmarshal(before, &original); err != nil {
		return nil, err
	}
	version, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": original.Metadata.ResourceVersion}})
	if err != nil || original.Metadata.ResourceVersion == "" {
		return patch, err
	}
	return jsonpatch.MergeMergePatches(patch, version)
}
