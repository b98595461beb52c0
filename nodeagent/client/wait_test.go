package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReasonIsTheSameForTheSameCause(t *testing.T) {
	cause := errors.New("connection refused")
	a := fmt.Errorf("read 127.0.0.1:40001: %w", cause)
	b := fmt.Errorf("read 127.0.0.1:40002: %w", cause)
	if reason(a) != reason(b) {
		t.Errorf("%q and %q", reason(a), reason(b))
	}
}

func TestProbeTakesARefusalForAnAnswerOnlyWithoutToken(t *testing.T) {
	for _, test := range []struct {
		token  string
		status int
		ok     bool
	}{
		{"", 200, true}, {"", 401, true}, {"", 403, true}, {"", 500, false},
		{"a.b", 200, true}, {"a.b", 401, false}, {"a.b", 403, false}, {"a.b", 500, false},
	} {
		web := &http.Client{Transport: answer(func(w http.ResponseWriter, r *http.Request) {
			if test.token != "" && r.Header.Get("Authorization") != "Bearer "+test.token {
				t.Errorf("no token in the request")
			}
			w.WriteHeader(test.status)
		})}
		if err := probe(t.Context(), web, test.token); (err == nil) != test.ok {
			t.Errorf("token %q, status %d: %v", test.token, test.status, err)
		}
	}
}

// answer is a round tripper that calls a handler.
type answer http.HandlerFunc

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	a(recorder, r)
	return recorder.Result(), nil
}
