package kube

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

func TestDocumentsAreReadInOrderAndListsAreFlattened(t *testing.T) {
	objects, err := documents("# a comment\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n---\n" +
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: two}}\n- {apiVersion: v1, kind: Pod, metadata: {name: three}}\n")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range objects {
		names = append(names, o.GetKind()+"/"+o.GetName())
	}
	if got := strings.Join(names, " "); got != "ConfigMap/one Secret/two Pod/three" {
		t.Errorf("got %s", got)
	}
}

func TestLargeIntegersKeepTheirValue(t *testing.T) {
	objects, err := documents("apiVersion: v1\nkind: X\nmetadata: {name: one}\nspec: {size: 9007199254740993}\n")
	if err != nil {
		t.Fatal(err)
	}
	if body, err := objects[0].MarshalJSON(); err != nil || !strings.Contains(string(body), `"size":9007199254740993`) {
		t.Errorf("got %s, %v", body, err)
	}
}

func TestApplyFindsNewResourcesWhileAnAggregatedAPIIsDown(t *testing.T) {
	var defined atomic.Bool
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api":
			_, _ = io.WriteString(w, `{"kind":"APIVersions","versions":["v1"]}`)
		case "/api/v1":
			_, _ = io.WriteString(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","kind":"Pod","namespaced":true,"verbs":["list"]}]}`)
		case "/apis":
			group := `{"name":%[1]q,"versions":[{"groupVersion":%[2]q,"version":"v1"}],"preferredVersion":{"groupVersion":%[2]q,"version":"v1"}}`
			_, _ = fmt.Fprintf(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[`+group, "metrics.k8s.io", "metrics.k8s.io/v1")
			if defined.Load() {
				_, _ = fmt.Fprintf(w, ","+group, "example.com", "example.com/v1")
			}
			_, _ = io.WriteString(w, "]}")
		case "/apis/example.com/v1":
			_, _ = io.WriteString(w, `{"kind":"APIResourceList","groupVersion":"example.com/v1","resources":[{"name":"widgets","kind":"Widget","namespaced":true,"verbs":["list"]}]}`)
		case "/apis/example.com/v1/namespaces/default/widgets/one":
			if r.Method == http.MethodPatch {
				_, _ = io.WriteString(w, `{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"one","namespace":"default"}}`)
				return
			}
			http.NotFound(w, r)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer api.Close()
	client, err := ForConfig("c", &rest.Config{Host: api.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const manifest = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: one}\n"
	if applied, err := client.Apply(t.Context(), manifest, ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "resource type") {
		t.Errorf("before it is defined: %v, %v", applied, err)
	}
	defined.Store(true)
	if applied, err := client.Apply(t.Context(), manifest, ApplyOptions{}); err != nil || applied[0].Result != "created" {
		t.Errorf("%v, %v", applied, err)
	}
}

func TestInvalidManifestsChangeNothing(t *testing.T) {
	valid := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n"
	for name, manifest := range map[string]string{
		"empty": "", "only comments": "# nothing\n", "no name": valid + "apiVersion: v1\nkind: Pod\n", "no kind": valid + "apiVersion: v1\nmetadata: {name: x}\n",
		"a list": valid + "- 1\n", "a string": valid + "hello\n", "a duplicate key": valid + "apiVersion: v1\napiVersion: v2\nkind: Pod\nmetadata: {name: x}\n",
		"not YAML": valid + "a: [\n", "too many": strings.Repeat(valid, maxDocuments+1),
	} {
		// Without a connection: nothing is sent.
		if applied, err := (&Client{}).Apply(t.Context(), manifest, ApplyOptions{}); !errors.Is(err, ErrManifest) || len(applied) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDifferenceIgnoresMetadataOfTheServer(t *testing.T) {
	object := func(version, colour string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"kind": "ConfigMap", "metadata": map[string]any{"name": "x", "resourceVersion": version, "managedFields": []any{map[string]any{"time": version}}}, "data": map[string]any{"colour": colour},
		}}
	}
	if got, err := difference(object("1", "green"), object("2", "green")); err != nil || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
	got, err := difference(object("1", "green"), object("2", "blue"))
	if err != nil || !strings.Contains(got, "-  colour: green\n+  colour: blue") || strings.Contains(got, "resourceVersion") {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := difference(nil, object("1", "green")); err != nil || !strings.Contains(got, "+kind: ConfigMap") {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzDocuments(f *testing.F) {
	f.Add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\na: &x [*x]\n")
	f.Add("apiVersion: v1\nkind: List\nitems: [{}, null, 1]\n")
	f.Fuzz(func(t *testing.T, manifest string) {
		objects, err := documents(manifest)
		if err == nil && len(objects) == 0 {
			t.Error("no objects and no error")
		}
		for _, o := range objects {
			if o.GetName() == "" || o.GetKind() == "" {
				t.Errorf("object %v", o)
			}
		}
	})
}
