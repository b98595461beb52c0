package target

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// endpoint returns a ServiceMonitor with one endpoint.
func endpoint(fields string) Monitor {
	return ParseMonitor(ServiceMonitor, "shop", "m", []byte(`{"selector":{},"endpoints":[{"port":"metrics",`+fields+`}]}`))
}

func TestRelabelingsChangeTargets(t *testing.T) {
	const own = `{container="app", endpoint="metrics", instance="10.244.1.5:8080", job="web", namespace="shop", node="worker-1", pod="web", service="web"`
	for name, test := range map[string]struct{ fields, want, note string }{
		"none":             {`"relabelings":[]`, "http://10.244.1.5:8080/metrics " + own + "}", ""},
		"a label":          {`"relabelings":[{"sourceLabels":["__meta_kubernetes_pod_label_version","__meta_kubernetes_namespace"],"separator":"@","regex":"(.)(.*)","targetLabel":"version","replacement":"$2$1"}]`, "http://10.244.1.5:8080/metrics " + own + `, version="1@shopv"}`, ""},
		"a fixed label":    {`"relabelings":[{"targetLabel":"team","replacement":"a"}]`, "http://10.244.1.5:8080/metrics " + own + `, team="a"}`, ""},
		"all labels":       {`"relabelings":[{"action":"LabelMap","regex":"__meta_kubernetes_service_label_(team.*)"}]`, "http://10.244.1.5:8080/metrics " + own + `, team_example_name="a"}`, ""},
		"the instance":     {`"relabelings":[{"sourceLabels":["__meta_kubernetes_pod_node_name"],"targetLabel":"instance"}]`, "http://10.244.1.5:8080/metrics " + strings.Replace(own, "10.244.1.5:8080", "worker-1", 1) + "}", ""},
		"the port":         {`"relabelings":[{"sourceLabels":["__meta_kubernetes_pod_ip"],"targetLabel":"__address__","replacement":"$1:9100"}]`, "http://10.244.1.5:9100/metrics " + strings.Replace(own, ":8080", ":9100", 1) + "}", ""},
		"what is asked":    {`"params":{"x":["1","2"]},"relabelings":[{"targetLabel":"__metrics_path__","replacement":"/m"},{"targetLabel":"__param_x","replacement":"3"},{"targetLabel":"__param_y","replacement":"4"},{"targetLabel":"__tmp","replacement":"5"}]`, "http://10.244.1.5:8080/m?x=3&x=2&y=4 " + own + "}", ""},
		"kept":             {`"relabelings":[{"action":"keep","sourceLabels":["__meta_kubernetes_pod_labelpresent_app","__meta_kubernetes_endpoint_port_name"],"regex":"true;metrics"}]`, "http://10.244.1.5:8080/metrics " + own + "}", ""},
		"not kept":         {`"relabelings":[{"action":"keep","sourceLabels":["__meta_kubernetes_pod_label_app"],"regex":"other"}]`, "", ""},
		"dropped":          {`"relabelings":[{"action":"drop","sourceLabels":["__meta_kubernetes_pod_container_name"],"regex":"app"}]`, "", ""},
		"the namespace":    {`"relabelings":[{"targetLabel":"namespace","replacement":"other"},{"action":"labeldrop","regex":"pod"}]`, "http://10.244.1.5:8080/metrics " + own + "}", "endpoint 0: its relabelings do not change the labels namespace, pod, node"},
		"another address":  {`"relabelings":[{"targetLabel":"__address__","replacement":"169.254.169.254:80"}]`, "", "endpoint 0 is not scraped: its relabelings may only change the port of __address__"},
		"another host":     {`"relabelings":[{"targetLabel":"__address__","replacement":"evil.example:80"}]`, "", "its relabelings may only change the port"},
		"verification":     {`"relabelings":[{"targetLabel":"__scheme__","replacement":"https"}]`, "", "certificates cannot be verified"},
		"a bad path":       {`"relabelings":[{"targetLabel":"__metrics_path__","replacement":"@evil.example"}]`, "", "its path must begin with /"},
		"unknown labels":   {`"relabelings":[{"sourceLabels":["__meta_kubernetes_pod_controller_kind","job"],"targetLabel":"x"}]`, "http://10.244.1.5:8080/metrics " + own + `, x=";web"}`, "endpoint 0: relabelings read __meta_kubernetes_pod_controller_kind, always empty here"},
		"a bad action":     {`"relabelings":[{},{"action":"explode"}]`, "", `endpoint 0 is not scraped: relabelings 0: relabel configuration for replace action requires 'target_label' value`},
		"an unknown one":   {`"relabelings":[{"action":"explode"}]`, "", `endpoint 0 is not scraped: relabelings 0: its action is "explode"`},
		"a bad regex":      {`"metricRelabelings":[{"action":"drop","regex":"("}]`, "", "endpoint 0 is not scraped: metricRelabelings 0: its regex is invalid"},
		"a complex regex":  {`"metricRelabelings":[{"action":"drop","regex":"(.{100}){10}.{999}x{1000}"}]`, "", "its regex is too complex"},
		"a long regex":     {`"metricRelabelings":[{"action":"drop","regex":"` + strings.Repeat("x", 2000) + `"}]`, "", "it has more than 1024 bytes"},
		"many rules":       {`"relabelings":[` + strings.Repeat(`{"targetLabel":"a"},`, maxRules) + `{"targetLabel":"a"}]`, "", "it has more than 100 relabelings"},
		"growing values":   {`"relabelings":[{"targetLabel":"a","replacement":"0123456789"}` + strings.Repeat(`,{"sourceLabels":["a"],"targetLabel":"a","replacement":"$1$1$1"}`, 50) + `]`, "", "its relabelings make a label of more than 512 bytes"},
		"more labels":      {`"relabelings":[{"action":"labelmap","regex":"(.*)","replacement":"a_$1"}` + strings.Repeat(`,{"action":"labelmap","regex":"(.*)","replacement":"a_$1"}`, 50) + `]`, "", "its relabelings make more than"},
		"too much to keep": {`"relabelings":[` + strings.TrimSuffix(strings.Repeat(`{"action":"labelmap","regex":"__(.*)","replacement":"__a_$1"},{"action":"labelmap","regex":"__meta(.*)","replacement":"b$1"},{"action":"labelmap","regex":"b(.*)","replacement":"c$1"},{"action":"labelmap","regex":"c(.*)","replacement":"d$1"},`, 1), ",") + `]`, "", "its relabelings make more than 50 labels"},
	} {
		var got string
		targets, notes := OfMonitors([]Monitor{endpoint(test.fields)}, []Service{shop}, []Pod{labelled()}, network)
		for _, one := range targets {
			got += fmt.Sprintf("%s %s", one.URL, one.Labels)
		}
		if got != test.want || !strings.Contains(strings.Join(notes, "\n"), test.note) || (test.note == "") != (len(notes) == 0) {
			t.Errorf("%s: %s, %q", name, got, notes)
		}
	}
}

func TestMetricRelabelingsChangeSeries(t *testing.T) {
	const own = `namespace="shop", node="worker-1", pod="web"`
	series := labels.FromStrings("__name__", "orders_total", "namespace", "shop", "pod", "web", "node", "worker-1", "color", "green")
	for rules, want := range map[string]string{
		`{"action":"labeldrop","regex":"color"}`:                                                            `{__name__="orders_total", ` + own + `}`,
		`{"sourceLabels":["__name__"],"regex":"orders_(.*)","targetLabel":"__name__","replacement":"o_$1"}`: `{__name__="o_total", color="green", ` + own + `}`,
		`{"action":"drop","sourceLabels":["__name__","color"],"regex":"orders_.*;(green|blue)"}`:            "dropped",
		`{"action":"keep","sourceLabels":["__name__"],"regex":"other"}`:                                     "dropped",
		`{"action":"labelkeep","regex":"__name__"}`:                                                         `{__name__="orders_total", ` + own + `}`,
		`{"targetLabel":"namespace","replacement":"kube-system"},{"targetLabel":"__tmp","replacement":"x"}`: `{__name__="orders_total", color="green", ` + own + `}`,
		`{"targetLabel":"__name__","replacement":""}`:                                                       "its relabelings remove the name of a metric",
		`{"action":"uppercase","sourceLabels":["color"],"targetLabel":"color"}`:                             `{__name__="orders_total", color="GREEN", ` + own + `}`,
	} {
		targets, notes := OfMonitors([]Monitor{endpoint(`"metricRelabelings":[` + rules + `]`)}, []Service{shop}, []Pod{labelled()}, network)
		if len(targets) != 1 || len(notes) != 0 {
			t.Fatalf("%s: %v, %q", rules, targets, notes)
		}
		l, keep, err := targets[0].Relabel(series, NewWork())
		got := l.String()
		switch {
		case err != nil:
			got = err.Error()
		case !keep:
			got = "dropped"
		}
		if got != want {
			t.Errorf("%s: %s", rules, got)
		}
	}
}

func TestRelabelingsAreBounded(t *testing.T) {
	m := endpoint(`"relabelings":[` + strings.TrimSuffix(strings.Repeat(`{"action":"labelmap","regex":"x{400}y{400}"},`, maxRules), ",") + `]`)
	if len(m.Endpoints) != 1 {
		t.Fatal(m.Problems)
	}
	targets, notes := OfMonitors(slices.Repeat([]Monitor{m}, 3), []Service{shop}, []Pod{labelled()}, network)
	if len(targets) != 0 || len(notes) != 3 || !strings.Contains(notes[0], errWork.Error()) {
		t.Errorf("%v, %q", targets, notes)
	}
	work := NewWork()
	one := Target{Rules: m.Endpoints[0].Relabelings}
	err := error(nil)
	for i := 0; err == nil && i < 1000; i++ {
		_, _, err = one.Relabel(labels.FromStrings("__name__", strings.Repeat("x", 500), strings.Repeat("y", 500), "z"), work)
	}
	if !errors.Is(err, errWork) {
		t.Errorf("got %v", err)
	}
}

func TestChangedRelabelingsBeginOtherSeries(t *testing.T) {
	keys := map[string]bool{}
	for _, rules := range []string{``, `{"action":"labeldrop","regex":"a"}`, `{"action":"labeldrop","regex":"b"}`} {
		targets, _ := OfMonitors([]Monitor{endpoint(`"metricRelabelings":[` + rules + `]`)}, []Service{shop}, []Pod{labelled()}, network)
		keys[targets[0].Key()] = true
	}
	if len(keys) != 3 {
		t.Errorf("%d keys", len(keys))
	}
}
