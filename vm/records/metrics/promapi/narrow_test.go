package promapi

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// twoNamespaces returns an API over series of the namespaces shop and other; those of
// other are marked with the returned text, which nobody can guess.
func twoNamespaces(t testing.TB) (http.Handler, string) {
	t.Helper()
	now, mark := time.Now(), "mark"+rand.Text()
	s := emptyStore(t, now)
	err := s.Append(t.Context(), now, func(a storage.Appender) error {
		for _, l := range []labels.Labels{
			labels.FromStrings(model.MetricNameLabel, "up", "namespace", "shop", "pod", "web"), labels.FromStrings(model.MetricNameLabel, "up", "namespace", "other", "pod", mark),
			labels.FromStrings(model.MetricNameLabel, mark, "namespace", "other", mark, "x"), labels.FromStrings(model.MetricNameLabel, "up", "node", mark),
		} {
			if _, err := a.Append(0, l, now.UnixMilli(), 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Queryable: func() (storage.Queryable, error) { return s, nil }, Log: slog.New(slog.DiscardHandler)}).Handler(), mark
}

func answerTo(api http.Handler, path string, parameters url.Values) (int, string) {
	recorder := httptest.NewRecorder()
	api.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path+"?"+parameters.Encode(), nil))
	return recorder.Code, recorder.Body.String()
}

// readers are requests that read series with an expression.
func readers(expression string) map[string]url.Values {
	now := fmt.Sprint(time.Now().Unix())
	return map[string]url.Values{
		"/api/v1/query": {"query": {expression}}, "/api/v1/query_range": {"query": {expression}, "start": {now}, "end": {now}, "step": {"1"}},
		"/api/v1/series": {"match[]": {expression}}, "/api/v1/labels": {"match[]": {expression}}, "/api/v1/label/pod/values": {"match[]": {expression}},
		"/api/v1/label/__name__/values": {}, "/federate": {"match[]": {expression}},
	}
}

func TestExtraFiltersApplyToEverySelector(t *testing.T) {
	api, mark := twoNamespaces(t)
	for _, expression := range []string{
		`up`, `{namespace="other"}`, `{namespace=~".+"}`, `{__name__=~".+"}`, `sum by (pod) (up)`, `up or {__name__=~"mark.*"}`, `up unless up{namespace="shop"}`,
		`max_over_time(up{namespace="other"}[5m])`, `label_replace(up, "namespace", "$1", "pod", "(.*)")`, `up @ end()`, `up{pod!="web"} offset -1s`,
		`max_over_time(up[5m:1m])`, `group_left_test or on() up * on() group_left(pod) up{namespace!="shop"}`, `count_values("pod", up)`, `topk(9, {pod=~".*",__name__!=""})`,
	} {
		seen := false
		for path, parameters := range readers(expression) {
			_, all := answerTo(api, path, parameters)
			seen = seen || strings.Contains(all, mark)
			parameters.Set(daemonapi.ParameterMetricsFilter, `{namespace="shop"}`)
			if _, some := answerTo(api, path, parameters); strings.Contains(some, mark) {
				t.Errorf("%s %s: %s", path, expression, some)
			}
			parameters[daemonapi.ParameterMetricsFilter] = []string{`{namespace="shop"}`, `{namespace=~".+"}`}
			if _, some := answerTo(api, path, parameters); strings.Contains(some, mark) {
				t.Errorf("%s %s, with another filter: %s", path, expression, some)
			}
		}
		if !seen {
			t.Errorf("%s: nothing of the other namespace even without a filter", expression)
		}
	}
	if status, own := answerTo(api, "/api/v1/query", url.Values{"query": {"up"}, daemonapi.ParameterMetricsFilter: {`{namespace="shop"}`}}); status != http.StatusOK || !strings.Contains(own, `"pod":"web"`) {
		t.Errorf("its own series: %d %s", status, own)
	}
	for _, wrong := range []string{"", "{", "up[5m]"} {
		if status, text := answerTo(api, "/api/v1/query", url.Values{"query": {"up"}, daemonapi.ParameterMetricsFilter: {wrong}}); status != http.StatusBadRequest {
			t.Errorf("the filter %q: %d %s", wrong, status, text)
		}
	}
}

// FuzzExtraFilters looks for an expression that gets around a filter.
func FuzzExtraFilters(f *testing.F) {
	api, mark := twoNamespaces(f)
	for _, expression := range []string{`up`, `{namespace=~".+"}`, `up or up{namespace="other"}`, `max_over_time(up[5m:1m] @ end())`, `count_values("x", {__name__=~".*"})`} {
		f.Add(expression)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		for path, parameters := range readers(expression) {
			parameters.Set(daemonapi.ParameterMetricsFilter, `{namespace="shop"}`)
			if _, some := answerTo(api, path, parameters); strings.Contains(some, mark) {
				t.Errorf("%s %q: %s", path, expression, some)
			}
		}
	})
}
