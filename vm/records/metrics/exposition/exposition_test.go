package exposition

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

const plenty = 1 << 20

var roomy = Limits{Samples: 1000, Labels: 10, LabelBytes: 100}

// read returns the samples of a text as "series value".
func read(text, contentType string, filter Filter, maxBytes int64, limits Limits) ([]string, map[string]string, error) {
	var all []string
	described := map[string]string{}
	content, err := Select(strings.NewReader(text), filter, maxBytes)
	if err != nil {
		return nil, nil, err
	}
	err = Parse(content, contentType, limits, Reader{
		Sample: func(_ []byte, parse func(*labels.Labels) error, _ *int64, value float64) error {
			var series labels.Labels
			if err := parse(&series); err != nil {
				return err
			}
			all = append(all, fmt.Sprintf("%s %g", series, value))
			return nil
		},
		Describe: func(metric, kind, help string) { described[metric] += kind + help },
	})
	return all, described, err
}

const example = `# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{code="200",path="/a b{}"} 5
http_requests_total{code="500"} 1 1700000000000
# TYPE latency_seconds histogram
latency_seconds_bucket{le="1"} 2
latency_seconds_bucket{le="+Inf"} 3
latency_seconds_sum 4
latency_seconds_count 3
 other 7
`

func TestAFilterKeepsTheNamedMetrics(t *testing.T) {
	filter := NewFilter("http_requests_total", "latency_seconds_count")
	all, described, err := read(example, "text/plain; version=0.0.4", filter, plenty, roomy)
	want := `[{__name__="http_requests_total", code="200", path="/a b{}"} 5 {__name__="http_requests_total", code="500"} 1 {__name__="latency_seconds_count"} 3]`
	if err != nil || fmt.Sprint(all) != want {
		t.Errorf("%v, %v", all, err)
	}
	if fmt.Sprint(described) != "map[http_requests_total:Requests.counter latency_seconds:histogram]" {
		t.Errorf("described %v", described)
	}
	if all, _, err := read(example, "", nil, plenty, roomy); err != nil || len(all) != 7 {
		t.Errorf("without a filter: %d samples, %v", len(all), err)
	}
	if all, _, err := read("a_total 1\n# EOF\n", "application/openmetrics-text", nil, plenty, roomy); err != nil || len(all) != 1 {
		t.Errorf("OpenMetrics: %v, %v", all, err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	endless := "up 1\n" + strings.Repeat("x", 2*maxLine)
	for name, test := range map[string]struct {
		text   string
		filter Filter
		bytes  int64
		limits Limits
		want   error
	}{
		"bytes":               {example, nil, 100, Limits{Samples: 100, Labels: 9, LabelBytes: 99}, ErrTooLarge},
		"bytes of kept lines": {example, NewFilter("other", "http_requests_total"), 100, Limits{Samples: 100, Labels: 9, LabelBytes: 99}, ErrTooLarge},
		"a long line":         {endless, NewFilter("up"), plenty, roomy, ErrTooLarge},
		"samples":             {example, nil, 1000, Limits{Samples: 2, Labels: 9, LabelBytes: 99}, ErrTooMany},
		"labels":              {`a{b="1",c="2"} 1` + "\n", nil, 1000, Limits{Samples: 2, Labels: 2, LabelBytes: 99}, ErrTooLarge},
		"a long value":        {`a{b="` + strings.Repeat("x", 100) + `"} 1` + "\n", nil, 1000, Limits{Samples: 2, Labels: 9, LabelBytes: 99}, ErrTooLarge},
		"another limit":       {"other 1\n" + strings.Repeat("ignored 1\n", 1000), NewFilter("other"), 10, Limits{Samples: 2, Labels: 9, LabelBytes: 99}, nil},
	} {
		if _, _, err := read(test.text, "", test.filter, test.bytes, test.limits); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// The store would refuse such a series, which would count as a failure of the store.
func TestASeriesWithALabelTwiceIsAnError(t *testing.T) {
	for _, text := range []string{`a{b="1",b="2"} 1`, `a{b="1",c="2",b="1"} 1`} {
		if _, _, err := read(text+"\n", "", nil, plenty, roomy); err == nil || !strings.Contains(err.Error(), `label "b" twice`) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(example, "text/plain", false)
	f.Add("# TYPE a counter\na_total 1 # {x=\"y\"} 1\n# EOF\n", "application/openmetrics-text", true)
	f.Add("\x00\xff{", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", true)
	f.Fuzz(func(t *testing.T, text, contentType string, filtered bool) {
		var filter Filter
		if filtered {
			filter = NewFilter("a_total", "http_requests_total")
		}
		limits := Limits{Samples: 50, Labels: 5, LabelBytes: 50}
		content, err := Select(strings.NewReader(text), filter, 4<<10)
		if err != nil {
			return
		}
		samples := 0
		err = Parse(content, contentType, limits, Reader{
			Sample: func(_ []byte, parse func(*labels.Labels) error, _ *int64, _ float64) error {
				var series labels.Labels
				if err := parse(&series); err == nil && filtered && !filter[series.Get(model.MetricNameLabel)] {
					t.Errorf("kept %s", series)
				}
				samples++
				return nil
			},
		})
		if samples > limits.Samples || errors.Is(err, io.EOF) {
			t.Errorf("%d samples, %v", samples, err)
		}
	})
}
