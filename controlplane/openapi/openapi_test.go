package openapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func packed(t testing.TB) *Documents {
	t.Helper()
	archive, err := Pack(map[string][]byte{
		"v2.json": []byte(`{"swagger":"2.0"}`), "v2.pb": []byte("two"),
		"v3/apis/apps/v1.json": []byte(`{"openapi":"3.0.0"}`), "v3/apis/apps/v1.pb": []byte("three"),
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func serve(t testing.TB, d *Documents) http.Handler {
	t.Helper()
	m := mux{ServeMux: http.NewServeMux()}
	d.Install(m)
	return m
}

type mux struct{ *http.ServeMux }

func (m mux) HandlePrefix(prefix string, h http.Handler) { m.Handle(prefix, h) }

func get(h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestDocumentsAreServedInTheRequestedFormat(t *testing.T) {
	h := serve(t, packed(t))
	const v2, v3 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
	for _, tt := range []struct {
		path, accept string
		status       int
		kind, body   string
	}{
		{V2, "", 200, "application/json", `{"swagger":"2.0"}`},
		{V2, "*/*", 200, "application/json", `{"swagger":"2.0"}`},
		{V2, v2, 200, v2, "two"},
		{V2, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", 200, v2, "two"},
		{V2, "application/json;q=0.5," + v2, 200, v2, "two"},
		{V2, "text/html", 406, "", ""},
		{V3 + "/apis/apps/v1", "application/json", 200, "application/json", `{"openapi":"3.0.0"}`},
		{V3 + "/apis/apps/v1", v3, 200, v3, "three"},
		{V3 + "/apis/none/v1", "", 404, "", ""},
	} {
		w := get(h, tt.path, "Accept", tt.accept)
		if w.Code != tt.status || (tt.status == 200 && (w.Header().Get("Content-Type") != tt.kind || w.Body.String() != tt.body)) {
			t.Errorf("%s as %q: %d %q %q", tt.path, tt.accept, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}

func TestAnUnchangedDocumentIsNotSentAgain(t *testing.T) {
	h := serve(t, packed(t))
	first := get(h, V2)
	if again := get(h, V2, "If-None-Match", first.Header().Get("Etag")); again.Code != http.StatusNotModified {
		t.Fatalf("status %d", again.Code)
	}
}

func TestRootListsDocumentsByHash(t *testing.T) {
	h := serve(t, packed(t))
	var root struct {
		Paths map[string]struct {
			ServerRelativeURL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(get(h, V3).Body.Bytes(), &root); err != nil {
		t.Fatal(err)
	}
	url := root.Paths["apis/apps/v1"].ServerRelativeURL
	w := get(h, url)
	if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Fatalf("%q: %d %v", url, w.Code, w.Header())
	}
	stale := get(h, V3+"/apis/apps/v1?hash=OLD")
	if stale.Code != http.StatusMovedPermanently || stale.Header().Get("Location") != url {
		t.Fatalf("stale hash: %d to %q", stale.Code, stale.Header().Get("Location"))
	}
}

func TestSameFilesMakeTheSameArchive(t *testing.T) {
	files := map[string][]byte{"a.json": []byte("{}"), "b.json": []byte("[]"), "b.pb": []byte("x")}
	one, err := Pack(files)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Pack(files)
	if err != nil || !slices.Equal(one, two) {
		t.Fatalf("archives differ: %v", err)
	}
}

func TestFetchReturnsTheServedDocuments(t *testing.T) {
	got, err := Fetch(serve(t, packed(t)))
	if err != nil || string(got["v3/apis/apps/v1.pb"]) != "three" || string(got["v2.json"]) != `{"swagger":"2.0"}` || len(got) != 4 {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestEmbeddedDocumentsDescribeTheAPI(t *testing.T) {
	d, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"v2", "v3/api/v1", "v3/apis/apps/v1", "v3/apis/batch/v1", "v3/version"} {
		content, err := d.JSON(path)
		if err != nil || !json.Valid(content) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestABrokenArchiveIsAnError(t *testing.T) {
	if _, err := Open([]byte("PK")); err == nil {
		t.Fatal("no error")
	}
}

func FuzzNegotiate(f *testing.F) {
	f.Add("application/json;q=0.5,*/*")
	f.Fuzz(func(t *testing.T, accept string) {
		if got, ok := negotiate(accept, "v3"); ok && got.suffix == "" {
			t.Fatalf("%q: %+v", accept, got)
		}
	})
}
