package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// versioned serves a config map with versions, as the API server does. When the file
// changed exists, somebody else has changed it before the first change of the test.
func versioned(t *testing.T, changed string) (Client, map[string]any) {
	t.Helper()
	data, version := map[string]any{"color": "green", "size": "1"}, 1
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if os.Remove(changed) == nil {
			data["size"], version = "2", version+1
		}
		if r.Method == http.MethodPatch {
			var patch struct {
				Metadata struct{ ResourceVersion string }
				Data     map[string]any
			}
			if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
				t.Error(err)
			}
			if patch.Metadata.ResourceVersion != strconv.Itoa(version) {
				w.WriteHeader(http.StatusConflict)
				_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409,"message":"the object has been modified"}`)
				return
			}
			for k, v := range patch.Data {
				data[k] = v
			}
			version++
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"kind": "ConfigMap", "apiVersion": "v1", "metadata": map[string]any{"name": "web", "namespace": "shop", "resourceVersion": strconv.Itoa(version)}, "data": data,
		})
	}))
	t.Cleanup(server.Close)
	client, err := kube.ForConfig("dev", &rest.Config{Host: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Client{client}, data
}

func TestChangesOfOthersAreNotRevertedWithoutAsking(t *testing.T) {
	ref := object.Ref{Cluster: "dev", Namespace: "shop", Name: "web", Resource: object.Resource{
		Version: "v1", Name: "configmaps", Singular: "configmap", Kind: "ConfigMap", Namespaced: true,
	}}
	for _, c := range []struct {
		name, keys  string
		color, size string
		err         error
	}{
		{"applied to the new version", "a\n", "red", "2", nil},
		{"overwritten", "x\nO\n", "red", "1", nil},
		{"edited again", "e\n", "red", "3", nil},
		{"cancelled", "c\n", "green", "2", feed.ErrUnchanged},
		{"no answer", "", "green", "2", feed.ErrUnchanged},
	} {
		changed := filepath.Join(t.TempDir(), "changed")
		client, data := versioned(t, changed)
		// The first time, others change the size. The second time, the file has their change.
		useEditor(t, `if grep -q 'size: "2"' "$1"; then sed -i 's/size: "2"/size: "3"/' "$1"; else touch "`+changed+`"; sed -i 's/color: green/color: red/' "$1"; fi`)
		var out strings.Builder
		// A file, as the terminal is: the editor gets it as it is.
		in, keys, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if c.keys != "" {
			_, _ = io.WriteString(keys, c.keys+"rest")
		}
		_ = keys.Close()
		err = client.Interactive(t.Context(), feed.Task{Verb: feed.VerbEdit, Refs: []object.Ref{ref}}, in, &out)
		if !errors.Is(err, c.err) || data["color"] != c.color || data["size"] != c.size {
			t.Errorf("%s: %v, %v", c.name, data, err)
		}
		if !strings.Contains(out.String(), `+  size: "2"`) {
			t.Errorf("%s: the change is not shown:\n%s", c.name, out.String())
		}
		if rest, _ := io.ReadAll(in); c.keys != "" && string(rest) != "rest" {
			t.Errorf("%s: keys were lost, %q is left", c.name, rest)
		}
	}
}

func TestControlCharactersInChangesOfOthersAreNotPrinted(t *testing.T) {
	var shown strings.Builder
	if answer, err := decide(object.Ref{Name: "web"}, "+\x1b]52;c;x\x07 a\n", strings.NewReader("a\n"), &shown); err != nil || answer != applyBoth || strings.ContainsAny(shown.String(), "\x1b\x07") {
		t.Errorf("%q, %v: %q", answer, err, shown.String())
	}
}
