package target

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

func pod(annotations ...string) Pod {
	p := Pod{
		Namespace: "shop", Name: "web", Node: "worker-1", Address: netip.MustParseAddr("10.244.1.5"), Phase: "Running",
		Annotations: map[string]string{}, Containers: []Container{{Name: "app", Ports: []Port{{Name: "http", Number: 8080}}}, {Name: "side", Ports: []Port{{Number: 9100}}}},
	}
	for i := 0; i < len(annotations); i += 2 {
		p.Annotations[annotations[i]] = annotations[i+1]
	}
	return p
}

var network = Network{Pods: netip.MustParsePrefix("10.244.0.0/16"), Nodes: map[string]netip.Addr{"worker-1": netip.MustParseAddr("192.168.104.11")}}

func TestAnnotationsSelectTheAddress(t *testing.T) {
	for name, test := range map[string]struct {
		pod     Pod
		want    []string
		problem string
	}{
		"none":              {pod(), nil, ""},
		"off":               {pod(AnnotationScrape, "false"), nil, ""},
		"all ports":         {pod(AnnotationScrape, "true"), []string{"http://10.244.1.5:8080/metrics app", "http://10.244.1.5:9100/metrics side"}, ""},
		"a port":            {pod(AnnotationScrape, "true", AnnotationPort, "9100"), []string{"http://10.244.1.5:9100/metrics side"}, ""},
		"an undeclared one": {pod(AnnotationScrape, "true", AnnotationPort, "1234", AnnotationPath, "/m", AnnotationScheme, "https"), []string{"https://10.244.1.5:1234/m "}, ""},
		"a path to quote":   {pod(AnnotationScrape, "true", AnnotationPort, "1", AnnotationPath, "/a?b#c"), []string{"http://10.244.1.5:1/a%3Fb%23c "}, ""},
		"no port":           {pod(AnnotationScrape, "true", AnnotationPort, "0"), nil, "must be a port number"},
		"a bad port":        {pod(AnnotationScrape, "true", AnnotationPort, "http"), nil, `the annotation prometheus.io/port is "http"`},
		"a bad path":        {pod(AnnotationScrape, "true", AnnotationPath, "@evil.example/"), nil, "must begin with /"},
		"a bad scheme":      {pod(AnnotationScrape, "true", AnnotationScheme, "file"), nil, "must be http or https"},
	} {
		var got []string
		targets, problems := OfPods([]Pod{test.pod}, network)
		for _, target := range targets {
			got = append(got, target.URL+" "+target.Labels.Get("container"))
			if target.Identity != Anonymous || target.Filter != nil || target.Times {
				t.Errorf("%s: %+v", name, target)
			}
		}
		if !slices.Equal(got, test.want) || !strings.Contains(strings.Join(problems, "\n"), test.problem) || (test.problem == "") != (len(problems) == 0) {
			t.Errorf("%s: %q, %q", name, got, problems)
		}
	}
}

func TestOnlyAddressesOfPodsAreAsked(t *testing.T) {
	for address, want := range map[string]int{
		"10.244.1.5": 1, "192.168.104.11": 1, "192.168.104.12": 0, "192.168.104.2": 0, "127.0.0.1": 0, "169.254.169.254": 0, "8.8.8.8": 0,
	} {
		p := pod(AnnotationScrape, "true", AnnotationPort, "80")
		p.Address = netip.MustParseAddr(address)
		if targets, _ := OfPods([]Pod{p}, network); len(targets) != want {
			t.Errorf("%s: %v", address, targets)
		}
	}
	p := pod(AnnotationScrape, "true", AnnotationPort, "80")
	for _, phase := range []string{"Pending", "Succeeded", "Failed"} {
		p.Phase = phase
		if targets, _ := OfPods([]Pod{p}, network); len(targets) != 0 {
			t.Errorf("%s: %v", phase, targets)
		}
	}
}

func TestContainersAndNodesAreKeptButNotTheSumsBetween(t *testing.T) {
	for series, dropped := range map[string]bool{
		`container_cpu_usage_seconds_total{id="/"}`:                                                           false,
		`container_cpu_usage_seconds_total{id="/kubepods"}`:                                                   true,
		`container_cpu_usage_seconds_total{id="/kubepods/pod1",namespace="a",pod="b",container=""}`:           true,
		`container_cpu_usage_seconds_total{id="/kubepods/pod1/x",namespace="a",pod="b",container="c"}`:        false,
		`container_cpu_usage_seconds_total{id="/kubepods/pod1/x",namespace="a",pod="b",container="POD"}`:      true,
		`container_network_receive_bytes_total{id="/kubepods/pod1/x",namespace="a",pod="b",interface="eth0"}`: false,
		`container_network_receive_bytes_total{id="/kubepods/pod1/x",namespace="a",pod="b",interface="lo"}`:   true,
		`container_network_receive_bytes_total{id="/",interface="eth0"}`:                                      false,
		`container_network_receive_bytes_total{id="/",interface="veth12"}`:                                    true,
		`machine_cpu_cores{machine_id="x"}`:                                                                   false,
	} {
		if dropsContainer(parse(t, series)) != dropped {
			t.Errorf("%s: want dropped %t", series, dropped)
		}
	}
}

func TestFewBucketsOfTheAPIsLatencyAreKept(t *testing.T) {
	for series, dropped := range map[string]bool{
		`apiserver_request_duration_seconds_bucket{verb="GET",le="0.2"}`:   false,
		`apiserver_request_duration_seconds_bucket{verb="GET",le="+Inf"}`:  false,
		`apiserver_request_duration_seconds_bucket{verb="GET",le="0.15"}`:  true,
		`apiserver_request_duration_seconds_bucket{verb="WATCH",le="0.1"}`: true,
		`apiserver_request_duration_seconds_count{verb="LIST"}`:            false,
		`apiserver_request_total{verb="WATCH"}`:                            false,
	} {
		if dropsAPIServer(parse(t, series)) != dropped {
			t.Errorf("%s: want dropped %t", series, dropped)
		}
	}
}

func TestFewBucketsOfDNSAndOfTheServiceProxyAreKept(t *testing.T) {
	for series, dropped := range map[string]bool{
		`coredns_dns_request_duration_seconds_bucket{le="0.004"}`:        false,
		`coredns_dns_request_duration_seconds_bucket{le="0.008"}`:        true,
		`coredns_dns_request_duration_seconds_sum{server="x"}`:           false,
		`coredns_dns_responses_total{rcode="NXDOMAIN"}`:                  false,
		`kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.008"}`: false,
		`kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.004"}`: true,
	} {
		if dropsNode(parse(t, series)) != dropped {
			t.Errorf("%s: want dropped %t", series, dropped)
		}
	}
}

// parse parses name{label="value",…}.
func parse(t *testing.T, series string) labels.Labels {
	t.Helper()
	name, rest, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	pairs := []string{model.MetricNameLabel, name}
	for _, pair := range strings.Split(rest, ",") {
		label, value, _ := strings.Cut(pair, "=")
		pairs = append(pairs, label, strings.Trim(value, `"`))
	}
	return labels.FromStrings(pairs...)
}

func TestNodesHaveTheirTargets(t *testing.T) {
	var got []string
	for _, target := range OfNodes([]Node{{"control-plane-1", netip.MustParseAddr("192.168.104.10"), true}, {"worker-1", netip.MustParseAddr("192.168.104.11"), false}}) {
		address, asked, _ := strings.Cut(target.URL, "?")
		got = append(got, target.Labels.Get("job")+" "+address)
		query, err := url.ParseQuery(asked)
		if err != nil || len(query["name[]"]) == 0 {
			t.Errorf("asks for %q, %v", asked, err)
		}
		for _, name := range query["name[]"] {
			if _, described := target.Filter[name]; !described {
				t.Errorf("asks for %s and does not keep it", name)
			}
		}
		if target.Labels.Get("node") == "" || target.Filter == nil || target.Every < 1 {
			t.Errorf("target %+v", target)
		}
	}
	want := []string{
		"kubelet https://192.168.104.10:10250/metrics/cadvisor", "kubelet https://192.168.104.10:10250/metrics/resource",
		"kubelet https://192.168.104.10:10250/metrics",
		"apiserver https://192.168.104.10:6443/metrics",
		"kubelet https://192.168.104.11:10250/metrics/cadvisor", "kubelet https://192.168.104.11:10250/metrics/resource",
		"kubelet https://192.168.104.11:10250/metrics",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestTheStateOfPodsHasTheNamesOfKubeStateMetrics(t *testing.T) {
	p := pod()
	p.Containers = []Container{{
		Name: "app", Restarts: 2, LastTerminated: "OOMKilled", WaitingFor: "CrashLoopBackOff",
		Requests: map[string]float64{"cpu": 0.5}, Limits: map[string]float64{"memory": 1024},
	}}
	var got []string
	simulated := p
	simulated.Name, simulated.Node = "simulated", "simulated-0001"
	network := Network{Nodes: map[string]netip.Addr{"worker-1": netip.MustParseAddr("192.168.104.11")}}
	for _, sample := range State([]Pod{p, simulated}, map[string]bool{"worker-1": false, "simulated-0001": true}, network) {
		if strings.Contains(sample.Labels.String(), "simulated") {
			t.Errorf("%s is of a node without a machine", sample.Labels)
		}
		got = append(got, fmt.Sprintf("%s %g", sample.Labels, sample.Value))
	}
	for _, want := range []string{
		`{__name__="kube_node_status_condition", condition="Ready", job="kube-state-metrics", node="worker-1", status="true"} 0`,
		`{__name__="kube_pod_status_phase", job="kube-state-metrics", namespace="shop", phase="Running", pod="web"} 1`,
		`{__name__="kube_pod_container_status_restarts_total", container="app", job="kube-state-metrics", namespace="shop", pod="web"} 2`,
		`{__name__="kube_pod_container_status_last_terminated_reason", container="app", job="kube-state-metrics", namespace="shop", pod="web", reason="OOMKilled"} 1`,
		`{__name__="kube_pod_container_resource_limits", container="app", job="kube-state-metrics", namespace="shop", node="worker-1", pod="web", resource="memory", unit="byte"} 1024`,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, strings.Join(got, "\n"))
		}
	}
}
