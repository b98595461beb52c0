package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// configMaps serves the config map "web" and rejects the value "red". It records
// the patches.
func configMaps(t *testing.T, patches *[]string) Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPatch {
			patch, _ := io.ReadAll(r.Body)
			*patches = append(*patches, string(patch))
			if strings.Contains(string(patch), "red") {
				w.WriteHeader(http.StatusUnprocessableEntity)
				_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "red is not allowed", "code": 422})
				return
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"kind": "ConfigMap", "apiVersion": "v1", "metadata": map[string]any{"name": "web", "namespace": "shop"}, "data": map[string]any{"color": "green"},
		})
	}))
	t.Cleanup(server.Close)
	client, err := kube.ForConfig("dev", &rest.Config{Host: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Client{client}
}

// useEditor makes a shell script the editor of the test.
func useEditor(t *testing.T, script string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "editor")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SKIFF_EDITOR", path)
}

func TestEditReopensAfterARejectedChange(t *testing.T) {
	var patches []string
	client := configMaps(t, &patches)
	ref := object.Ref{Cluster: "dev", Namespace: "shop", Name: "web", Resource: object.Resource{
		Version: "v1", Name: "configmaps", Singular: "configmap", Kind: "ConfigMap", Namespaced: true,
	}}
	edit := func() error {
		return client.Interactive(t.Context(), feed.Task{Verb: feed.VerbEdit, Refs: []object.Ref{ref}}, nil, io.Discard)
	}

	useEditor(t, `if grep -q 'red is not allowed' "$1"; then from=red to=blue; else from=green to=red; fi
sed "s/color: $from/color: $to/" "$1" >"$1.new" && mv "$1.new" "$1"`)
	if err := edit(); err != nil {
		t.Fatal(err)
	}
	if len(patches) != 2 || patches[1] != `{"data":{"color":"blue"}}` {
		t.Errorf("got patches %q", patches)
	}

	useEditor(t, `sed "s/color: green/color: red/" "$1" >"$1.new" && mv "$1.new" "$1"`)
	if err := edit(); err == nil || !strings.Contains(err.Error(), "red is not allowed") {
		t.Errorf("leaving a rejected change: %v", err)
	}
	useEditor(t, `true`)
	if err := edit(); !errors.Is(err, feed.ErrUnchanged) {
		t.Errorf("leaving the object unchanged: %v", err)
	}
}
