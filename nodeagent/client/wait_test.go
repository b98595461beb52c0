package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReasonDependsOnTheCauseOnly(t *testing.T) {
	cause := errors.New("connection refused")
	a := fmt.Errorf("read 127.0.0.1:40001: %w", cause)
	b := fmt.Errorf("read 127.0.0.1:40002: %w", cause)
	if reason(a) != reason(b) {
		t.Errorf("%q and %q", reason(a), reason(b))
	}
}

func TestOnlyStatus200IsSuccess(t *testing.T) {
	for _, status := range []int{200, 401, 403, 404, 500, 503} {
		web := &http.Client{Transport: answer(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.String() != Server+"/api/v1/nodes/worker-1" {
				t.Errorf("requests %s", r.URL)
			}
			w.WriteHeader(status)
		})}
		if err := probe(t.Context(), web, PathNode("worker-1")); (err == nil) != (status == 200) {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestPathListNamesTheGroup(t *testing.T) {
	for path, want := range map[Path]Path{
		PathList("", "nodes"):                          "/api/v1/nodes?limit=1",
		PathList("discovery.k8s.io", "endpointslices"): "/apis/discovery.k8s.io/v1/endpointslices?limit=1",
	} {
		if path != want {
			t.Errorf("got %s, want %s", path, want)
		}
	}
}

// answer is a RoundTripper that calls a handler.
type answer http.HandlerFunc

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	a(recorder, r)
	return recorder.Result(), nil
}
