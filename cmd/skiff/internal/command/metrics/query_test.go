package metrics

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
)

func answered(status int, content string) *answer {
	a := &answer{header: http.Header{}}
	a.WriteHeader(status)
	_, _ = a.Write([]byte(content))
	return a
}

func TestResultsAreTables(t *testing.T) {
	for content, want := range map[string]string{
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"a"},"value":[1,"1"]}]}}`:                                "METRIC        VALUE\nup{job=\"a\"}   1\n",
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"id":"/x","pod":"a"},"value":[1,"NaN"]}]}}`:                                    "METRIC      VALUE\n{pod=\"a\"}   NaN\n",
		`{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}`:                                                                                 "VALUE\n2\n",
		`{"status":"success","data":{"resultType":"vector","result":[]}}`:                                                                                      "",
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1435781451.781,"1"],[1435781466,"2"]]}]},"warnings":["careful"]}`: "METRIC   TIME                  VALUE\n{}       " + time.Unix(1435781451, 0).Format(time.DateTime) + "   1\n{}       " + time.Unix(1435781466, 0).Format(time.DateTime) + "   2\n",
	} {
		var out, errors bytes.Buffer
		if err := show(cli.Streams{Out: &out, Err: &errors}, answered(200, content), false); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v", content, out.String(), err)
		}
		if strings.Contains(content, "careful") != strings.Contains(errors.String(), "warning: careful") {
			t.Errorf("%s: %q", content, errors.String())
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	for content, want := range map[string]string{
		`{"status":"error","errorType":"bad_data","error":"1:5: parse error"}`: "1:5: parse error",
		`{"status":"error","errorType":"execution","error":"too many"}`:        "too many",
		`{"cause":"cluster is stopped"}`:                                       "metrics are not being recorded",
		`not JSON`:                                                             "metrics are not being recorded",
	} {
		err := show(cli.Streams{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}, answered(503, content), false)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestAPeriodEndsAtTheLastSample(t *testing.T) {
	end := time.Unix(1_700_000_000, 0)
	path, parameters, err := queryOptions{since: time.Hour}.request("up", end)
	if err != nil || path != "/api/v1/query_range" || parameters.Encode() != "end=1700000000.000&query=up&start=1699996400.000&step=60" {
		t.Errorf("%s?%s, %v", path, parameters.Encode(), err)
	}
	path, parameters, err = queryOptions{time: "2026-01-02T03:04:05Z"}.request("up", end)
	if err != nil || path != "/api/v1/query" || parameters.Get("time") != "1767323045.000" {
		t.Errorf("%s?%s, %v", path, parameters.Encode(), err)
	}
	for _, o := range []queryOptions{{time: "noon"}, {since: -1}, {step: time.Second}} {
		if _, _, err := o.request("up", end); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
