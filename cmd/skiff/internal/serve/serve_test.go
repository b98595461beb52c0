package serve

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnlyLocalNamesAreServed(t *testing.T) {
	handler := local(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, status := range map[string]int{
		"127.0.0.1:9090": 200, "localhost:9090": 200, "[::1]:9090": 200, "localhost": 200, "evil.example:9090": 403, "127.0.0.1.evil.example": 403, "": 403,
	} {
		request := httptest.NewRequest(http.MethodGet, "/api/v1/query", nil)
		request.Host = host
		recorded := httptest.NewRecorder()
		if handler.ServeHTTP(recorded, request); recorded.Code != status {
			t.Errorf("%q: %d, want %d", host, recorded.Code, status)
		}
	}
}
