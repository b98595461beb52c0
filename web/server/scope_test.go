package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// asked returns the parameters that reach the daemon.
func (b *browser) asked(method, target, body string) url.Values {
	b.t.Helper()
	header := http.Header{}
	if body != "" {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	var form url.Values
	b.read(b.ask(method, target, body, header), &form)
	return form
}

func TestStoredLogsAreNarrowedToWhatTheUserMayRead(t *testing.T) {
	r := newRig(t)
	for user, want := range map[string]string{
		"admin": "",
		"jane":  `{source="container",namespace in ("shop") or source="event",namespace in ("shop")}`,
		"pam":   `{source="container"}`,
		"ned":   `{source="program" or source="kernel" or source="audit"}`,
	} {
		b := r.login(user)
		own := url.Values{"query": {`* | union (source:audit)`}, daemonapi.ParameterLogFilter: {`{a="b"} or *`}}
		for what, form := range map[string]url.Values{
			"address": b.asked(http.MethodGet, "/api/logs/select/logsql/query?"+own.Encode(), ""),
			"body":    b.asked(http.MethodPost, "/api/logs/select/logsql/hits", own.Encode()),
			"both":    b.asked(http.MethodPost, "/api/logs/select/logsql/hits?"+daemonapi.ParameterLogFilter+"=x", own.Encode()),
		} {
			filters := form[daemonapi.ParameterLogFilter]
			if form.Get("query") != own.Get("query") || !slices.Contains(filters, `{a="b"} or *`) || want != "" && filters[len(filters)-1] != want ||
				want == "" && slices.ContainsFunc(filters, func(f string) bool { return strings.Contains(f, "source") }) {
				t.Errorf("%s, in the %s: %q", user, what, form)
			}
		}
	}
	if response := r.login("joe").ask(http.MethodGet, "/api/logs/select/logsql/query?query=*", "", nil); response.StatusCode != http.StatusForbidden {
		t.Errorf("joe: %s", response.Status)
	}
}

// A tail is narrowed as other queries are. Its lines arrive as they are written, and it ends
// with its reader.
func TestATailIsNarrowedToWhatTheUserMayRead(t *testing.T) {
	for user, want := range map[string]string{"jane": `{source="container",namespace in ("shop") or source="event",namespace in ("shop")}`, "admin": ""} {
		r := newRig(t)
		response := r.login(user).ask(http.MethodGet, "/api/logs/select/logsql/tail?query=*&"+daemonapi.ParameterLogFilter+"=own", "", nil)
		lines := json.NewDecoder(response.Body)
		for n := range 3 {
			var line struct {
				N       int
				Filters []string
			}
			if err := lines.Decode(&line); err != nil || line.N != n {
				t.Fatalf("%s: line %d: %+v, %v", user, n, line, err)
			}
			if filters := append([]string{"own"}, want); !slices.Equal(line.Filters, slices.DeleteFunc(filters, func(f string) bool { return f == "" })) {
				t.Errorf("%s: filters %q", user, line.Filters)
			}
			<-r.tick // so that the next line is written
		}
		_ = response.Body.Close()
		<-r.tailed
	}
	if response := newRig(t).login("joe").ask(http.MethodGet, "/api/logs/select/logsql/tail?query=*", "", nil); response.StatusCode != http.StatusForbidden {
		t.Errorf("joe: %s", response.Status)
	}
}

func TestStoredMetricsAreNarrowedToWhatTheUserMayRead(t *testing.T) {
	r := newRig(t)
	for user, want := range map[string]string{"admin": "", "jane": `{namespace=~"shop"}`, "pam": `{namespace!=""}`} {
		b := r.login(user)
		for what, form := range map[string]url.Values{
			"address": b.asked(http.MethodGet, "/api/metrics/api/v1/query_range?query=up&start=1", ""),
			"body":    b.asked(http.MethodPost, "/api/metrics/api/v1/query_range", "query=up&start=1"),
		} {
			if form.Get("query") != "up" || form.Get("start") != "1" || form.Get(daemonapi.ParameterMetricsFilter) != want {
				t.Errorf("%s, in the %s: %q", user, what, form)
			}
		}
		for _, path := range []string{"targets", "metadata", "status/buildinfo", "label/x/y/values"} {
			status := b.ask(http.MethodGet, "/api/metrics/api/v1/"+path, "", nil).StatusCode
			if (status == http.StatusOK) != (user == "admin") {
				t.Errorf("%s: %s: %d", user, path, status)
			}
		}
	}
	for _, user := range []string{"joe", "ned"} {
		if response := r.login(user).ask(http.MethodGet, "/api/metrics/api/v1/query?query=up", "", nil); response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", user, response.Status)
		}
	}
}

func TestTheScopeNamesWhatTheUserMayRead(t *testing.T) {
	r := newRig(t)
	for user, want := range map[string]string{
		"admin": `{"metrics":true,"logs":true,"namespaces":[]}`, "jane": `{"metrics":false,"logs":false,"namespaces":["shop"]}`,
		"joe": `{"metrics":false,"logs":false,"namespaces":[]}`,
	} {
		b := r.login(user)
		if got := strings.TrimSpace(text(t, b.ask(http.MethodGet, "/api/scope", "", nil))); got != want {
			t.Errorf("%s: %s", user, got)
		}
	}
}
