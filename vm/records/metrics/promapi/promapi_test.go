package promapi

import (
	"fmt"
	"io"
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

	"github.com/skiff-dev/skiff/vm/records/metrics/store"
)

func emptyStore(t testing.TB, now time.Time) *store.Store {
	t.Helper()
	s, err := store.Open(store.Config{Dir: t.TempDir(), Keep: time.Hour, MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)}, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// serving returns an API over a few samples, the last of which is of the returned time.
func serving(t *testing.T) (*httptest.Server, time.Time) {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	s := emptyStore(t, now)
	for i := range 4 {
		at := now.Add(time.Duration(i-3) * 15 * time.Second)
		err := s.Append(t.Context(), at, func(a storage.Appender) error {
			for _, pod := range []string{"a", `b"\`} {
				if _, err := a.Append(0, labels.FromStrings(model.MetricNameLabel, "requests_total", "pod", pod), at.UnixMilli(), float64(i)*1.5); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	api := New(Config{
		Queryable: func() (storage.Queryable, error) { return s, nil }, Log: slog.New(slog.DiscardHandler),
		Metadata: func() map[string]Metadata {
			return map[string]Metadata{"requests_total": {Type: "counter", Help: "Requests."}}
		},
		Targets: func() []Target { return []Target{{Health: "up", Labels: map[string]string{"job": "x"}}} },
	})
	server := httptest.NewServer(api.Handler())
	t.Cleanup(server.Close)
	return server, now
}

func get(t *testing.T, server *httptest.Server, path string, parameters url.Values) (int, string) {
	t.Helper()
	response, err := http.Get(server.URL + path + "?" + parameters.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// TestAnswersHaveTheFormatOfPrometheus compares with answers of Prometheus 3.
func TestAnswersHaveTheFormatOfPrometheus(t *testing.T) {
	server, now := serving(t)
	at := fmt.Sprint(now.Unix())
	ago := fmt.Sprint(now.Unix() - 15)
	for _, test := range []struct {
		path       string
		parameters url.Values
		status     int
		want       string
	}{
		{"/api/v1/query", url.Values{"query": {`requests_total`}, "time": {at}}, 200,
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"requests_total","pod":"a"},"value":[` + at + `,"4.5"]},{"metric":{"__name__":"requests_total","pod":"b\"\\"},"value":[` + at + `,"4.5"]}]}}`},
		{"/api/v1/query", url.Values{"query": {`sum(requests_total)`}, "time": {at + ".25"}}, 200,
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[` + at + `.250,"9"]}]}}`},
		{"/api/v1/query", url.Values{"query": {`1e-9`}, "time": {at}}, 200,
			`{"status":"success","data":{"resultType":"scalar","result":[` + at + `,"1e-09"]}}`},
		{"/api/v1/query", url.Values{"query": {`"x<y"`}, "time": {at}}, 200,
			`{"status":"success","data":{"resultType":"string","result":[` + at + `,"x\u003cy"]}}`},
		{"/api/v1/query", url.Values{"query": {`absent_metric`}, "time": {at}}, 200,
			`{"status":"success","data":{"resultType":"vector","result":[]}}`},
		{"/api/v1/query", url.Values{"query": {`requests_total{pod="a"}[20s]`}, "time": {at}}, 200,
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"requests_total","pod":"a"},"values":[[` + ago + `,"3"],[` + at + `,"4.5"]]}]}}`},
		{"/api/v1/query", url.Values{"query": {`requests_total`}, "time": {at}, "limit": {"1"}}, 200,
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"requests_total","pod":"a"},"value":[` + at + `,"4.5"]}]},"warnings":["results truncated due to limit"]}`},
		{"/api/v1/query_range", url.Values{"query": {`requests_total{pod="a"}`}, "start": {ago}, "end": {at}, "step": {"15"}}, 200,
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"requests_total","pod":"a"},"values":[[` + ago + `,"3"],[` + at + `,"4.5"]]}]}}`},
		{"/api/v1/query", url.Values{"query": {`sum(`}}, 400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}`},
		{"/api/v1/query_range", url.Values{"query": {`up`}, "start": {at}, "end": {ago}, "step": {"15"}}, 400,
			`{"status":"error","errorType":"bad_data","error":"invalid parameter \"end\": end timestamp must not be before start time"}`},
		{"/api/v1/query_range", url.Values{"query": {`up`}, "start": {"0"}, "end": {at}, "step": {"1"}}, 400,
			`{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}`},
		{"/api/v1/query", url.Values{"query": {`requests_total * on() requests_total`}, "time": {at}}, 422, `{"status":"error","errorType":"execution","error":"found duplicate series`},
		{"/api/v1/labels", nil, 200, `{"status":"success","data":["__name__","pod"]}`},
		{"/api/v1/label/pod/values", url.Values{"match[]": {"requests_total", "other"}}, 200, `{"status":"success","data":["a","b\"\\"]}`},
		{"/api/v1/label/pod/values", url.Values{"match[]": {"other"}}, 200, `{"status":"success","data":[]}`},
		{"/api/v1/series", url.Values{"match[]": {`requests_total{pod="a"}`}}, 200, `{"status":"success","data":[{"__name__":"requests_total","pod":"a"}]}`},
		{"/api/v1/series", nil, 400, `{"status":"error","errorType":"bad_data","error":"no match[] parameter provided"}`},
		{"/api/v1/series", url.Values{"match[]": {`{pod=~".*"}`}}, 400, `{"status":"error","errorType":"bad_data"`},
		{"/api/v1/metadata", nil, 200, `{"status":"success","data":{"requests_total":[{"type":"counter","help":"Requests.","unit":""}]}}`},
		{"/api/v1/status/buildinfo", nil, 200, `{"status":"success","data":{"branch":"","buildDate":"","buildUser":"","goVersion":"go`},
		{"/api/v1/targets", nil, 200, `{"status":"success","data":{"activeTargets":[{"discoveredLabels":null,"labels":{"job":"x"},`},
		{"/api/v1/format_query", url.Values{"query": {"a+b"}}, 200, `{"status":"success","data":"a + b"}`},
	} {
		status, content := get(t, server, test.path, test.parameters)
		exact := strings.HasSuffix(test.want, "}")
		if status != test.status || exact && content != test.want || !strings.HasPrefix(content, test.want) {
			t.Errorf("%s %v: %d %s\nwant %d %s", test.path, test.parameters, status, content, test.status, test.want)
		}
	}
}

func TestAQueryCanBePosted(t *testing.T) {
	server, now := serving(t)
	response, err := http.PostForm(server.URL+"/api/v1/query", url.Values{"query": {"count(requests_total)"}, "time": {fmt.Sprint(now.Unix())}})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(content), `"2"`) {
		t.Errorf("%s, %v", content, err)
	}
	large, err := http.PostForm(server.URL+"/api/v1/query", url.Values{"query": {strings.Repeat("1+", maxForm)}})
	if err != nil {
		t.Fatal(err)
	}
	defer large.Body.Close()
	if large.StatusCode != http.StatusBadRequest {
		t.Errorf("a large request: %s", large.Status)
	}
}

// TestWhatGrafanaAsksIsAnswered sends what Grafana's data source sends when it is added, and
// when an editor of queries opens; it sends most of that as POST.
func TestWhatGrafanaAsksIsAnswered(t *testing.T) {
	server, now := serving(t)
	period := url.Values{"start": {fmt.Sprint(now.Unix() - 3600)}, "end": {fmt.Sprint(now.Unix())}}
	with := func(name, value string) url.Values {
		values := url.Values{name: {value}}
		for name, value := range period {
			values[name] = value
		}
		return values
	}
	for _, test := range []struct {
		method, path string
		parameters   url.Values
		want         string
	}{
		{"GET", "/api/v1/status/buildinfo", nil, `"version":"`},
		{"POST", "/api/v1/query", url.Values{"query": {"1+1"}}, `"2"`},
		{"POST", "/api/v1/labels", period, `["__name__","pod"]`},
		{"POST", "/api/v1/labels", with("match[]", `{__name__="requests_total"}`), `["__name__","pod"]`},
		{"GET", "/api/v1/label/__name__/values", period, `["requests_total"]`},
		{"POST", "/api/v1/series", with("match[]", "requests_total"), `"pod":"a"`},
		{"GET", "/api/v1/metadata", url.Values{"limit": {"10000"}}, `"type":"counter"`},
		{"POST", "/api/v1/query_range", url.Values{"query": {"requests_total"}, "start": period["start"], "end": period["end"], "step": {"15"}}, `"matrix"`},
		{"POST", "/api/v1/query_exemplars", with("query", "requests_total"), `"data":[]`},
		{"GET", "/api/v1/query_exemplars", with("query", "requests_total"), `"data":[]`},
		{"GET", "/api/v1/rules", nil, `"groups":[]`},
		{"GET", "/api/v1/alerts", nil, `"alerts":[]`},
		{"POST", "/api/v1/format_query", url.Values{"query": {"sum( x )"}}, `"sum(x)"`},
		{"GET", "/-/healthy", nil, "Skiff is ready."},
		{"GET", "/-/ready", nil, "Skiff is ready."},
	} {
		address, body := server.URL+test.path+"?"+test.parameters.Encode(), io.Reader(nil)
		if test.method == http.MethodPost {
			address, body = server.URL+test.path, strings.NewReader(test.parameters.Encode())
		}
		request, err := http.NewRequestWithContext(t.Context(), test.method, address, body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(content), test.want) {
			t.Errorf("%s %s: %s %s, %v", test.method, test.path, response.Status, content, err)
		}
	}
}

func TestFederationHasTheNewestSamples(t *testing.T) {
	server, now := serving(t)
	status, content := get(t, server, "/federate", url.Values{"match[]": {"requests_total"}})
	milliseconds := fmt.Sprint(now.UnixMilli())
	want := "# TYPE requests_total untyped\n" +
		`requests_total{pod="a",instance=""} 4.5 ` + milliseconds + "\n" +
		`requests_total{pod="b\"\\",instance=""} 4.5 ` + milliseconds + "\n"
	if status != http.StatusOK || content != want {
		t.Errorf("%d %s\nwant %s", status, content, want)
	}
}

func TestNothingRecordedIsUnavailable(t *testing.T) {
	api := New(Config{Queryable: func() (storage.Queryable, error) { return nil, ErrUnavailable }, Log: slog.New(slog.DiscardHandler)})
	server := httptest.NewServer(api.Handler())
	defer server.Close()
	for _, path := range []string{"/api/v1/query?query=up", "/api/v1/labels", "/federate?match[]=up", "/-/ready"} {
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	api := New(Config{Queryable: func() (storage.Queryable, error) { panic("damaged") }, Log: slog.New(slog.DiscardHandler)})
	server := httptest.NewServer(api.Handler())
	defer server.Close()
	if status, content := get(t, server, "/api/v1/query", url.Values{"query": {"up"}}); status != 500 || !strings.Contains(content, `"internal"`) {
		t.Errorf("%d %s", status, content)
	}
}

func FuzzParameters(f *testing.F) {
	f.Add("1700000000.5", "5m")
	f.Add("2026-01-02T03:04:05.6+07:00", "NaN")
	f.Add("-1e300", "1e300")
	f.Fuzz(func(t *testing.T, at, duration string) {
		if parsed, err := parseTime(at); err == nil && (parsed.UnixMilli() < minTime-1000 || parsed.UnixMilli() > maxTime+1000) && !strings.Contains(at, "T") {
			t.Errorf("%q is %s", at, parsed)
		}
		_, _ = parseDuration(duration)
	})
}
