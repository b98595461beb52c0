package kube

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// podsIn answers lists and watches of pods as for a user who may read only these
// namespaces; "" stands for all.
func podsIn(t *testing.T, namespaces ...string) *Client {
	t.Helper()
	answers := http.NewServeMux()
	answers.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"pods is forbidden"}`)
	})
	for _, namespace := range namespaces {
		path, rows := "/api/v1/namespaces/"+namespace+"/pods", []string{namespace}
		if namespace == "" {
			path, rows = "/api/v1/pods", []string{"team-a", "team-b", "team-c"}
		}
		var list []string
		for _, in := range rows {
			list = append(list, fmt.Sprintf(`{"cells":["web"],"object":{"metadata":{"name":"web","namespace":%q,"uid":%q}}}`, in, in))
		}
		answers.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if r.URL.Query().Get("watch") != "" {
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return
			}
			_, _ = fmt.Fprintf(w, `{"kind":"Table","metadata":{"resourceVersion":"7"},"columnDefinitions":[{"name":"Name"}],"rows":[%s]}`, strings.Join(list, ","))
		})
	}
	server := httptest.NewServer(answers)
	t.Cleanup(server.Close)
	client, err := ForConfig("dev", &rest.Config{Host: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestNamespacesAreShownToUsersWhoMayReadThem(t *testing.T) {
	need := feed.Objects{
		Cluster: "dev", Resource: object.Resource{Version: "v1", Name: "pods", Namespaced: true}, Namespaces: []string{"team-b", "team-a"},
	}
	for name, test := range map[string]struct {
		may, rows []string
		state     object.State
		problem   string
	}{
		"everything": {[]string{""}, []string{"dev/team-a/web", "dev/team-b/web"}, object.Live, ""},
		"both":       {[]string{"team-a", "team-b"}, []string{"dev/team-a/web", "dev/team-b/web"}, object.Live, ""},
		"one":        {[]string{"team-a"}, []string{"dev/team-a/web"}, object.Live, "namespace team-b is unavailable: pods is forbidden"},
		"none":       {nil, nil, object.Refused, "pods is forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			client := podsIn(t, test.may...)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var last string
			want := fmt.Sprint(test.rows, test.state, test.problem)
			client.Run(ctx, need, func(message any) {
				if ctx.Err() != nil {
					return // what was sent before Run noticed
				}
				table := message.(object.Table)
				var rows []string
				for _, r := range table.Rows {
					rows = append(rows, r.Key())
				}
				if last = fmt.Sprint(rows, table.Freshness.State, table.Freshness.Problem); last == want {
					cancel()
				}
			})
			if last != want {
				t.Errorf("delivered %s, want %s", last, want)
			}
		})
	}
}
