package upstream_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/openapi"
	"github.com/skiff-dev/skiff/controlplane/server/upstream"
)

// TestEmbeddedDocumentsAreUpstreams fails when the release changed and the
// documents were not made again: go generate ./controlplane/openapi.
func TestEmbeddedDocumentsAreUpstreams(t *testing.T) {
	built, err := upstream.Documents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := openapi.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for name, want := range built {
		path, ok := strings.CutSuffix(name, ".json")
		if !ok {
			continue
		}
		count++
		got, err := embedded.JSON(path)
		if err != nil {
			t.Error(err)
			continue
		}
		var a, b any
		if json.Unmarshal(got, &a) != nil || json.Unmarshal(want, &b) != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s differs from upstream's", path)
		}
	}
	if got := len(embedded.Paths()); got != count {
		t.Errorf("%d documents are embedded, upstream has %d", got, count)
	}
}
