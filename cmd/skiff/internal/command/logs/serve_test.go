package logs

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnlyQueriesReachTheStore(t *testing.T) {
	handler := queries(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for path, want := range map[string]int{
		"/health": 200, "/select/buildinfo": 200, "/select/logsql/query": 200, "/select/logsql/tail": 200,
		"/drain": 404, "/status": 404, "/insert/jsonline": 404, "/delete/run_task": 404, "/select/vmui": 404, "/": 404,
	} {
		recorded := httptest.NewRecorder()
		handler.ServeHTTP(recorded, httptest.NewRequest(http.MethodPost, path, nil))
		if recorded.Code != want {
			t.Errorf("%s: %d, want %d", path, recorded.Code, want)
		}
	}
}
