package store

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/records/logs/collect"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

// scoped is a store with entries of the namespace shop, and others that are marked with
// a text that nobody can guess.
type scoped struct {
	*Store
	api  http.Handler
	mark string
}

func openScoped(t testing.TB, dir string) scoped {
	t.Helper()
	s, err := Open(Config{Dir: dir + "/store", LimitBytes: 1 << 30, Age: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	mark := "mark" + strings.ToLower(rand.Text())
	now := time.Now().Truncate(time.Second).Add(-time.Minute)
	var rows []collect.Row
	add := func(text, source string, more ...entry.Field) {
		rows = append(rows, collect.Row{
			Time: now.Add(time.Duration(len(rows)) * time.Millisecond).UnixNano(), Text: text + " in a log",
			Labels: append([]entry.Field{{Name: "cluster", Value: "dev"}, {Name: "source", Value: source}}, more...),
			Fields: []entry.Field{{Name: "number", Value: strconv.Itoa(len(rows))}, {Name: "user", Value: text}},
		})
	}
	for range 5 {
		add("own", nodeapi.LogSourceContainer, entry.Field{Name: "namespace", Value: "shop"}, entry.Field{Name: "pod", Value: "web"})
		add("own", daemonapi.LogSourceEvent, entry.Field{Name: "namespace", Value: "shop"})
		add(mark, nodeapi.LogSourceContainer, entry.Field{Name: "namespace", Value: "other"}, entry.Field{Name: "pod", Value: mark})
		add(mark, daemonapi.LogSourceEvent, entry.Field{Name: "namespace", Value: "other"})
		for _, source := range []string{nodeapi.LogSourceAudit, nodeapi.LogSourceKernel, nodeapi.LogSourceProgram} {
			add(mark, source, entry.Field{Name: "node", Value: mark})
		}
	}
	if err := s.Add(rows); err != nil {
		t.Fatal(err)
	}
	all := scoped{s, s.Handler(), mark}
	for end := time.Now().Add(time.Minute); strings.Count(all.answer("query", "*", ""), "\n") != len(rows); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d rows are not found", len(rows))
		}
	}
	return all
}

// answer returns the answer to a request of one kind, within a filter unless it is empty.
func (s scoped) answer(name, query, filter string) string {
	form := url.Values{
		"query": {query}, "step": {"1h"}, "field": {"user"}, "limit": {"1000"}, "time": {strconv.FormatInt(time.Now().Unix(), 10)},
		daemonapi.ParameterLogFilter: {`{source!=""}`}, // a filter of the user's own
	}
	if filter != "" {
		form.Add(daemonapi.ParameterLogFilter, filter)
	}
	request := httptest.NewRequest(http.MethodPost, PathSelect+name, strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	recorder := httptest.NewRecorder()
	s.api.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		return "" // a failure repeats the query
	}
	return recorder.Body.String()
}

// finite are the requests that end.
func finite() []string {
	var names []string
	for name := range answers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// escapes are queries that would show more than the entries of their own filter.
var escapes = []string{
	`*`, `{source="audit"}`, `{namespace="other"}`, `namespace:other`, `source:*`, `*) or (*`, `* or *`, `!{namespace="shop"}`, `* | stream_context before 100 after 100`,
	`{namespace="shop"} | stream_context before 100 after 100 time_window 1h`, `own | union (*)`, `own | union (* | union (source:audit))`,
	`own | join by (source) (* | fields user, source)`, `own | join by (cluster) ({namespace="other"} | fields user, cluster, pod)`,
	`user:in(* | fields user)`, `_stream_id:in({namespace="other"} | fields _stream_id)`, `user:contains_any(* | fields user)`, `user:contains_all(* | fields user)`,
	`options(ignore_global_time_filter=true) *`, `options(global_filter=(source:audit)) *`, `options(global_filter=(user:in(* | fields user))) *`,
	`options(concurrency=1, allow_partial_response=true) * | uniq by (user)`, `* | facets`, `* | field_names`, `* | field_values user`, `* | field_values pod`, `* | top 10 by (user)`,
	`* | stats by (user) count() n`, `* | stats uniq_values(user) u, row_any(user) r`, `* | stats count() if (user:in(* | fields user)) n by (node)`, `* | block_stats`, `* | blocks_count`,
	`* | format if (user:in(* | fields user)) "<user>"`, `* | running_stats by (user) count() n`, `* | filter source:audit`, `* | set_stream_fields user`,
	`own | sort by (_time) partition by (user) limit 100`, `* | query_stats`, `user:eq_field(user)`, `_time:>2020-01-01 *`, `* | last 100`, `"in a log"`, `seq("in", "log")`, `number:>0`,
	`own | replace if (user:in(* | fields user)) ("own", "x") at user`, `* | stats by (user, _time:1h) count() n`, `* | pack_json | fields _msg`, `own | union ({source="kernel"} | stream_context before 5)`,
}

func TestAScopeAppliesToEveryQuery(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := openScoped(t, dir)
		defer s.Close()
		shop := daemonapi.Namespaces{Names: []string{"shop", `no"ne`}}
		filter := daemonapi.LogScope{Containers: shop, Events: shop}.Filter()
		leaks := map[string]bool{}
		for _, query := range escapes {
			for _, name := range finite() {
				leaks[query] = leaks[query] || strings.Contains(s.answer(name, query, ""), s.mark)
				if text := s.answer(name, query, filter); strings.Contains(text, s.mark) {
					t.Errorf("%s %s: %s", name, query, text)
				}
			}
		}
		for _, query := range []string{`*`, `own | union (*)`, `user:in(* | fields user)`, `* | stream_context before 100 after 100`, `own | join by (cluster) ({namespace="other"} | fields user, cluster, pod)`} {
			if !leaks[query] {
				t.Errorf("%s finds nothing of others even without a scope, so it tests nothing", query)
			}
		}
		for _, c := range []struct {
			scope daemonapi.LogScope
			want  int
		}{
			{daemonapi.LogScope{Containers: shop, Events: shop}, 10}, {daemonapi.LogScope{Containers: shop}, 5}, {daemonapi.LogScope{Containers: daemonapi.Namespaces{All: true}}, 10},
			{daemonapi.LogScope{Nodes: true}, 15}, {daemonapi.LogScope{Nodes: true, Events: shop}, 20},
		} {
			if got := strings.Count(s.answer("query", "*", c.scope.Filter()), "\n"); got != c.want {
				t.Errorf("%+v: %d entries, want %d", c.scope, got, c.want)
			}
		}
		if nothing := (daemonapi.LogScope{}).Filter(); nothing != "" {
			t.Errorf("the filter for nothing: %s", nothing)
		}
	})
}

// A tail sends what arrives after it has begun.
func TestAScopeAppliesToTails(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := openScoped(t, dir)
		defer s.Close()
		server := httptest.NewServer(s.api)
		defer server.Close()
		shop := daemonapi.Namespaces{Names: []string{"shop"}}
		for _, query := range []string{`*`, `{namespace="other"} or *`, `*) or (*`, `user:in(* | fields user) or *`, `options(concurrency=1) *`, `* | filter *`} {
			parameters := url.Values{"query": {query}, "refresh_interval": {"100ms"}, "offset": {"0s"}, "start_offset": {"1h"}, daemonapi.ParameterLogFilter: {`{source!=""}`}}
			parameters.Add(daemonapi.ParameterLogFilter, daemonapi.LogScope{Containers: shop, Events: shop}.Filter())
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+PathSelect+"tail?"+parameters.Encode(), nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != http.StatusOK {
				_ = response.Body.Close()
				continue // a tail of such a query is refused
			}
			own := func(namespace, text string) collect.Row {
				return collect.Row{Time: time.Now().UnixNano(), Text: text, Labels: []entry.Field{
					{Name: "cluster", Value: "dev"}, {Name: "source", Value: nodeapi.LogSourceContainer}, {Name: "namespace", Value: namespace}, {Name: "pod", Value: "late"},
				}}
			}
			end := "end of " + strconv.Quote(query)
			if err := s.Add([]collect.Row{own("other", s.mark), own("shop", end)}); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(response.Body)
			for lines.Scan() {
				if strings.Contains(lines.Text(), s.mark) {
					t.Errorf("%s: %s", query, lines.Text())
				}
				var e map[string]string
				if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e["_msg"] == end {
					break
				}
			}
			if err := lines.Err(); err != nil {
				t.Errorf("%s: %v", query, err)
			}
			_ = response.Body.Close()
		}
	})
}

// FuzzScope looks for a query that gets around a scope.
func FuzzScope(f *testing.F) {
	dir := f.TempDir()
	s := openScoped(f, dir)
	f.Cleanup(s.Close)
	shop := daemonapi.Namespaces{Names: []string{"shop"}}
	filter := daemonapi.LogScope{Containers: shop, Events: shop}.Filter()
	for _, query := range escapes {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, name := range []string{"query", "hits", "field_values"} {
			if text := s.answer(name, query, filter); strings.Contains(text, s.mark) {
				t.Errorf("%s %q: %s", name, query, text)
			}
		}
	})
}
