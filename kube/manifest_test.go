package kube

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestSecretsAreMasked(t *testing.T) {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{
			"name": "login", "managedFields": []any{map[string]any{"manager": "x"}},
			"annotations": map[string]any{lastApplied: `{"data":{"password":"aHVudGVyMg=="}}`},
		},
		"data": map[string]any{"password": "aHVudGVyMg=="},
	}}
	text, err := manifest(o, false)
	if err != nil || strings.Contains(text, "aHVudGVyMg") || !strings.Contains(text, "(7 bytes)") || strings.Contains(text, "managedFields") {
		t.Errorf("%s, %v", text, err)
	}
	if text, err = manifest(o, true); err != nil || !strings.Contains(text, "aHVudGVyMg==") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestDecodeSecretMovesTextToStringData(t *testing.T) {
	secret := &unstructured.Unstructured{Object: map[string]any{"kind": "Secret", "data": map[string]any{"password": "aG9yc2U=", "key": "//79/A=="}}}
	shown := decodeSecret(secret)
	if text, _, _ := unstructured.NestedString(shown.Object, "stringData", "password"); text != "horse" {
		t.Errorf("%v", shown.Object)
	}
	if binary, _, _ := unstructured.NestedString(shown.Object, "data", "key"); binary != "//79/A==" {
		t.Errorf("%v", shown.Object)
	}
	if kept, _, _ := unstructured.NestedString(secret.Object, "data", "password"); kept != "aG9yc2U=" {
		t.Error("the original secret was modified")
	}
	config := &unstructured.Unstructured{Object: map[string]any{"kind": "ConfigMap", "data": map[string]any{"a": "aG9yc2U="}}}
	if decodeSecret(config) != config {
		t.Error("a config map was decoded")
	}
}
