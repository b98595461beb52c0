package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestObjectsHaveEverythingButSecrets(t *testing.T) {
	answers := map[string]string{
		"/api":  `{"kind":"APIVersions","versions":["v1"]}`,
		"/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
		"/api/v1": `{"kind":"APIResourceList","groupVersion":"v1","resources":[
			{"name":"secrets","kind":"Secret","namespaced":true,"verbs":["get","list"]},
			{"name":"pods","kind":"Pod","namespaced":true,"verbs":["list"]},
			{"name":"pods/log","kind":"Pod","namespaced":true,"verbs":["get"]},
			{"name":"nodes","kind":"Node","verbs":["list"]},
			{"name":"bindings","kind":"Binding","namespaced":true,"verbs":["create"]}]}`,
		"/api/v1/secrets": `{"kind":"SecretList","apiVersion":"v1","items":[{"kind":"Secret","apiVersion":"v1",
			"metadata":{"name":"s","annotations":{"last":"hidden"},"managedFields":[{"manager":"m"}]},"data":{"k":"hidden"}}]}`,
		"/api/v1/pods": `{"kind":"PodList","apiVersion":"v1","items":[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"}}]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			answer = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`
		}
		fmt.Fprint(w, answer)
	}))
	defer server.Close()
	kubeconfig := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"c"}}],
		"users":[{"name":"c","user":{}}]}`, server.URL)
	var names []string
	var failed []string
	err := Objects(context.Background(), []byte(kubeconfig), func(name string, list []byte, err error) {
		if err != nil {
			failed = append(failed, name)
			return
		}
		names = append(names, name)
		if !json.Valid(list) || strings.Contains(string(list), "hidden") || strings.Contains(string(list), "managedFields") {
			t.Errorf("%s: %s", name, list)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"pods", "secrets"}) || !slices.Equal(failed, []string{"nodes"}) {
		t.Errorf("listed %q, failed %q", names, failed)
	}
}

func TestAnAPIThatDoesNotAnswerIsAnError(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.URL
	server.Close()
	kubeconfig := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c",
		"clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"c"}}],
		"users":[{"name":"c","user":{}}]}`, address)
	if err := Objects(context.Background(), []byte(kubeconfig), func(string, []byte, error) {}); err == nil {
		t.Error("no error")
	}
}
