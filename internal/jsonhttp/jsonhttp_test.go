package jsonhttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
)

type document struct {
	Name string `json:"name"`
}

func TestNewRequestHasABodyOnlyIfThereIsAValue(t *testing.T) {
	for _, test := range []struct {
		body          any
		content, kind string
	}{
		{nil, "", ""},
		{document{"a"}, `{"name":"a"}`, "application/json"},
	} {
		request, err := jsonhttp.NewRequest(t.Context(), http.MethodPost, "http://host/path", test.body)
		if err != nil {
			t.Fatal(err)
		}
		var content []byte
		if request.Body != nil {
			if content, err = io.ReadAll(request.Body); err != nil {
				t.Fatal(err)
			}
		}
		if string(content) != test.content || request.Header.Get("Content-Type") != test.kind {
			t.Errorf("%v: %q, %s", test.body, content, request.Header)
		}
	}
	if _, err := jsonhttp.NewRequest(t.Context(), http.MethodPost, "http://host/", func() {}); err == nil {
		t.Error("a function was encoded")
	}
}

func TestDecodeAcceptsOneDocumentWithoutUnknownFields(t *testing.T) {
	for text, valid := range map[string]bool{
		`{"name":"a"}`: true, "{\"name\":\"a\"}\n": true,
		"": false, `{`: false, `{"other":1}`: false, `{"name":"a"} {}`: false, `{"name":"a"}x`: false,
	} {
		var got document
		if err := jsonhttp.Decode(strings.NewReader(text), &got); (err == nil) != valid || valid && got.Name != "a" {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestWriteAnswersWithJSON(t *testing.T) {
	recorder := httptest.NewRecorder()
	jsonhttp.Write(recorder, document{"a"})
	if got := recorder.Body.String(); got != "{\"name\":\"a\"}\n" || recorder.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%q, %v", got, recorder.Header())
	}
}
