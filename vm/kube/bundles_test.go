package kube

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func TestOnlyObjectsWithAnotherBundleAreReadAndWritten(t *testing.T) {
	const services = "/apis/apiregistration.k8s.io/v1/apiservices"
	service := func(name, bundle string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q,"generation":9007199254740993},"spec":{"caBundle":%q}}`, name, base64.StdEncoding.EncodeToString([]byte(bundle)))
	}
	objects := map[string]string{
		"v1.apps":         `{"metadata":{"name":"v1.apps"},"spec":{"group":"apps"}}`,
		"v1.other":        service("v1.other", "another authority"),
		"v1beta1.metrics": service("v1beta1.metrics", "the old authority"),
	}
	var requests []string
	var written []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, single := strings.CutPrefix(r.URL.Path, services+"/")
		switch {
		case r.Method == http.MethodPut:
			written, _ = io.ReadAll(r.Body)
			_, _ = w.Write(written)
		case single:
			_, _ = io.WriteString(w, objects[name])
		case r.URL.Path == services:
			_, _ = io.WriteString(w, `{"items":[`+objects["v1.apps"]+","+objects["v1.other"]+","+objects["v1beta1.metrics"]+"]}")
			return
		default:
			_, _ = io.WriteString(w, `{"items":[]}`)
			return
		}
		requests = append(requests, r.Method+" "+name)
	}))
	defer server.Close()
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ReplaceBundles(t.Context(), func(bundle []byte) []byte {
		return bytes.ReplaceAll(bundle, []byte("old"), []byte("new"))
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"GET v1beta1.metrics", "PUT v1beta1.metrics"}; !slices.Equal(requests, want) {
		t.Errorf("requests %q, want %q", requests, want)
	}
	if want := base64.StdEncoding.EncodeToString([]byte("the new authority")); !strings.Contains(string(written), want) || !strings.Contains(string(written), "9007199254740993") {
		t.Errorf("written: %s", written)
	}
}
