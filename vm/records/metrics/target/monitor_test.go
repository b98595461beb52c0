package target

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// shop is a service of the pods with the label app=web.
var shop = Service{
	Namespace: "shop", Name: "web", Labels: map[string]string{"app": "web", "team.example/name": "a"}, Selector: map[string]string{"app": "web"},
	Ports: []ServicePort{{Name: "metrics", Target: "http"}, {Name: "side", Number: 9100}},
}

func labelled() Pod {
	p := pod()
	p.Labels = map[string]string{"app": "web", "version": "v1", "namespace": "forged"}
	return p
}

func TestMonitorsSelectPods(t *testing.T) {
	const own = `{container="app", endpoint="metrics", instance="10.244.1.5:8080", job="web", namespace="shop", node="worker-1", pod="web", service="web"}`
	for name, test := range map[string]struct {
		kind, spec string
		want       []string
		problem    string
	}{
		"a service": {ServiceMonitor, `{"selector":{"matchLabels":{"app":"web"}},"endpoints":[{"port":"metrics"}]}`, []string{"http://10.244.1.5:8080/metrics every 1 " + own}, ""},
		"all services of all namespaces": {ServiceMonitor, `{"namespaceSelector":{"any":true},"selector":{},"endpoints":[{"port":"side","path":"/m","params":{"x":["1","2"]},"interval":"1m"}]}`,
			[]string{`http://10.244.1.5:9100/m?x=1&x=2 every 4 {container="side", endpoint="side", instance="10.244.1.5:9100", job="web", namespace="shop", node="worker-1", pod="web", service="web"}`}, ""},
		"a port of the pod": {ServiceMonitor, `{"selector":{},"endpoints":[{"targetPort":9100},{"targetPort":"http"}]}`, []string{
			`http://10.244.1.5:9100/metrics every 1 {container="side", endpoint="9100", instance="10.244.1.5:9100", job="web", namespace="shop", node="worker-1", pod="web", service="web"}`,
			`http://10.244.1.5:8080/metrics every 1 {container="app", endpoint="http", instance="10.244.1.5:8080", job="web", namespace="shop", node="worker-1", pod="web", service="web"}`}, ""},
		"copied labels": {ServiceMonitor, `{"jobLabel":"team.example/name","targetLabels":["team.example/name"],"podTargetLabels":["version","namespace","absent"],"selector":{},"endpoints":[{"port":"metrics"}]}`, []string{
			`http://10.244.1.5:8080/metrics every 1 {container="app", endpoint="metrics", instance="10.244.1.5:8080", job="a", namespace="shop", node="worker-1", pod="web", service="web", team_example_name="a", version="v1"}`}, ""},
		"pods": {PodMonitor, `{"selector":{"matchExpressions":[{"key":"app","operator":"In","values":["web"]}]},"podMetricsEndpoints":[{"port":"http"},{"portNumber":1234}]}`, []string{
			`http://10.244.1.5:8080/metrics every 1 {container="app", endpoint="http", instance="10.244.1.5:8080", job="shop/m", namespace="shop", node="worker-1", pod="web"}`,
			`http://10.244.1.5:1234/metrics every 1 {endpoint="1234", instance="10.244.1.5:1234", job="shop/m", namespace="shop", node="worker-1", pod="web"}`}, ""},
		"without verification":  {PodMonitor, `{"selector":{},"podMetricsEndpoints":[{"portNumber":1,"scheme":"HTTPS","tlsConfig":{"insecureSkipVerify":true}}]}`, []string{`https://10.244.1.5:1/metrics every 1 {endpoint="1", instance="10.244.1.5:1", job="shop/m", namespace="shop", node="worker-1", pod="web"}`}, ""},
		"short and long":        {PodMonitor, `{"selector":{},"podMetricsEndpoints":[{"portNumber":1,"interval":"1ms"},{"portNumber":2,"interval":"1y"}]}`, []string{`http://10.244.1.5:1/metrics every 1 {endpoint="1", instance="10.244.1.5:1", job="shop/m", namespace="shop", node="worker-1", pod="web"}`, `http://10.244.1.5:2/metrics every 16 {endpoint="2", instance="10.244.1.5:2", job="shop/m", namespace="shop", node="worker-1", pod="web"}`}, ""},
		"empty defaults":        {ServiceMonitor, `{"selector":{},"endpoints":[{"port":"metrics","bearerTokenSecret":{"key":""},"basicAuth":{"username":{"key":""}}}]}`, []string{"http://10.244.1.5:8080/metrics every 1 " + own}, ""},
		"another namespace":     {ServiceMonitor, `{"namespaceSelector":{"matchNames":["other"]},"selector":{},"endpoints":[{"port":"metrics"}]}`, nil, ""},
		"other labels":          {ServiceMonitor, `{"selector":{"matchLabels":{"app":"x"}},"endpoints":[{"port":"metrics"}]}`, nil, ""},
		"an unknown port":       {ServiceMonitor, `{"selector":{},"endpoints":[{"port":"x"}]}`, nil, ""},
		"no port":               {ServiceMonitor, `{"selector":{},"endpoints":[{}]}`, nil, "ServiceMonitor shop/m: endpoint 0 is not scraped: it names no port"},
		"a number out of range": {PodMonitor, `{"selector":{},"podMetricsEndpoints":[{"portNumber":65536}]}`, nil, "it names no port"},
		"credentials":           {ServiceMonitor, `{"selector":{},"endpoints":[{"port":"metrics","bearerTokenFile":"/var/run/token"}]}`, nil, "endpoint 0 is not scraped: bearerTokenFile is not supported"},
		"verification":          {ServiceMonitor, `{"selector":{},"endpoints":[{"port":"metrics","scheme":"https"}]}`, nil, "certificates cannot be verified"},
		"another scheme":        {ServiceMonitor, `{"selector":{},"endpoints":[{"port":"metrics","scheme":"file"}]}`, nil, `its scheme is "file"`},
		"a bad path":            {ServiceMonitor, `{"selector":{},"endpoints":[{"port":"metrics","path":"@evil.example"}]}`, nil, "its path must begin with /"},
		"a bad interval":        {ServiceMonitor, `{"selector":{},"endpoints":[{"port":"metrics","interval":"often"}]}`, nil, `its interval "often" is not a duration such as 30s`},
		"long params":           {ServiceMonitor, `{"selector":{},"endpoints":[{"port":"metrics","params":{"x":["` + strings.Repeat("x", 2000) + `"]}}]}`, nil, "its params have more than 1024 bytes"},
		"a bad selector":        {ServiceMonitor, `{"selector":{"matchLabels":{"/":"/"}},"endpoints":[{"port":"metrics"}]}`, nil, "its selector is invalid"},
		"no spec":               {ServiceMonitor, ``, nil, "its spec cannot be read"},
		"ignored fields":        {ServiceMonitor, `{"selector":{},"endpoints":[{"port":"metrics","honorLabels":true}]}`, []string{"http://10.244.1.5:8080/metrics every 1 " + own}, "ServiceMonitor shop/m: endpoint 0: honorLabels ignored"},
	} {
		m := ParseMonitor(test.kind, "shop", "m", []byte(test.spec))
		var got []string
		targets, problems := OfMonitors([]Monitor{m}, []Service{shop}, []Pod{labelled()}, network)
		for _, target := range targets {
			got = append(got, fmt.Sprintf("%s every %d %s", target.URL, target.Every, target.Labels))
			if target.Identity != Anonymous || target.Filter != nil || target.Times || target.MaxBegun == 0 || target.MaxBytes != podMaxBytes {
				t.Errorf("%s: %+v", name, target)
			}
		}
		if !slices.Equal(got, test.want) || !strings.Contains(strings.Join(problems, "\n"), test.problem) || (test.problem == "") != (len(problems) == 0) {
			t.Errorf("%s: %q, %q", name, got, problems)
		}
	}
}

func TestMonitorsReachOnlyRunningPodsAtTheirAddresses(t *testing.T) {
	m := ParseMonitor(PodMonitor, "shop", "m", []byte(`{"selector":{},"podMetricsEndpoints":[{"portNumber":80}]}`))
	away, ended := labelled(), labelled()
	away.Address, ended.Phase = netip.MustParseAddr("169.254.169.254"), "Succeeded"
	if targets, problems := OfMonitors([]Monitor{m}, nil, []Pod{away, ended}, network); len(targets)+len(problems) != 0 {
		t.Errorf("%v, %v", targets, problems)
	}
}

func TestAServiceWithoutPodsIsAProblem(t *testing.T) {
	m := ParseMonitor(ServiceMonitor, "shop", "m", []byte(`{"selector":{},"endpoints":[{"port":"https"}]}`))
	external := Service{Namespace: "shop", Name: "external", Ports: []ServicePort{{Name: "https", Number: 443}}}
	targets, problems := OfMonitors([]Monitor{m}, []Service{external}, []Pod{labelled()}, network)
	if len(targets) != 0 || len(problems) != 1 || !strings.Contains(problems[0], "service shop/external has no selector") {
		t.Errorf("%v, %q", targets, problems)
	}
}

func TestBoundsOfAMonitorAreApplied(t *testing.T) {
	for spec, want := range map[string][2]int{
		`"sampleLimit":10,"labelLimit":3`:        {10, 3},
		`"sampleLimit":1000000,"labelLimit":100`: {podSamples, podLabels},
		`"sampleLimit":-1`:                       {podSamples, podLabels},
	} {
		m := ParseMonitor(PodMonitor, "shop", "m", []byte(`{"selector":{},"podMetricsEndpoints":[{"portNumber":80}],`+spec+`}`))
		targets, _ := OfMonitors([]Monitor{m}, nil, []Pod{labelled()}, network)
		if len(targets) != 1 || targets[0].Limits.Samples != want[0] || targets[0].Limits.Labels != want[1] {
			t.Errorf("%s: %+v", spec, targets)
		}
	}
}

func TestManyMonitorsAreBounded(t *testing.T) {
	m := ParseMonitor(PodMonitor, "shop", "m", []byte(`{"selector":{},"podMetricsEndpoints":[`+strings.Repeat(`{"portNumber":80},`, maxEndpoints)+`{"portNumber":81}]}`))
	if len(m.Endpoints) != maxEndpoints || len(m.Problems) != 1 {
		t.Errorf("%d endpoints, problems %q", len(m.Endpoints), m.Problems)
	}
	targets, problems := OfMonitors(slices.Repeat([]Monitor{m}, 100), nil, []Pod{labelled()}, network)
	if len(targets) != MaxPodTargets+1 {
		t.Errorf("%d targets", len(targets))
	}
	if got := Listed(slices.Repeat(problems, 10)); len(got) != maxLines+1 || !strings.HasSuffix(got[maxLines], " more of these are not listed") {
		t.Errorf("listed %q", got)
	}
}

func FuzzMonitorsStayWithinTheirBounds(f *testing.F) {
	f.Add(ServiceMonitor, `{"selector":{},"endpoints":[{"port":"metrics","path":"/m?x#y","params":{"a":["b"]},"interval":"1h"}]}`)
	f.Add(PodMonitor, `{"namespaceSelector":{"any":true},"jobLabel":"app","podTargetLabels":["a/b"],"selector":{},"podMetricsEndpoints":[{"portNumber":80,"scheme":"https","tlsConfig":{"insecureSkipVerify":true}}]}`)
	f.Add(ServiceMonitor, `{"selector":{},"endpoints":[{"port":"metrics","relabelings":[{"action":"labelmap","regex":"__meta_(.+)"},{"targetLabel":"__address__","replacement":"evil.example:1"},{"targetLabel":"pod"}]}]}`)
	f.Add(PodMonitor, `{"selector":{},"podMetricsEndpoints":[{"portNumber":80,"relabelings":[{"sourceLabels":["__address__"],"regex":"(.+):.*","replacement":"$1:81","targetLabel":"__address__"},{"action":"hashmod","modulus":2,"targetLabel":"__param_x"}]}]}`)
	f.Fuzz(func(t *testing.T, kind, spec string) {
		m := ParseMonitor(kind, "shop", "m", []byte(spec))
		targets, problems := OfMonitors([]Monitor{m}, []Service{shop}, []Pod{labelled()}, network)
		if len(targets) > MaxPodTargets+1 || len(strings.Join(problems, "")) > (4*maxEndpoints+3)*(maxMonitorReason+2)+len(m.title()) {
			t.Errorf("%d targets, problems %q", len(targets), problems)
		}
		for _, target := range targets {
			at, found := strings.CutPrefix(target.URL, "http")
			if at = strings.TrimPrefix(at, "s"); !found || !strings.HasPrefix(at, "://10.244.1.5:") || target.Every < 1 || target.Every > longestRounds {
				t.Errorf("target %+v", target)
			}
			if target.Labels.Get("namespace") != "shop" || target.Labels.Get("pod") != "web" || target.Labels.Len() > maxSeriesLabels {
				t.Errorf("labels %s", target.Labels)
			}
			if l, keep, err := target.Relabel(target.Labels, NewWork()); keep && err == nil && (l.Get("namespace") != "shop" || l.Len() > maxSeriesLabels) {
				t.Errorf("labels of a series %s", l)
			}
		}
	})
}
