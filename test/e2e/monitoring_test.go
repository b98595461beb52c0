package e2e

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/names"
)

// testMonitoring queries the recorded metrics of a pod: while it is running, after it was
// deleted, and after its cluster was.
func testMonitoring(t *testing.T, r *rig) {
	const name = "past"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--workers", "0", "--memory", "1536Mi")
	r.skiff(t, "image", "load", "--cluster", name, r.image("busybox.tar"))
	k := (&kube{rig: r, context: "skiff-" + name}).in(t)
	k.apply(t, "monitors-crd.yaml")
	k.apply(t, "monitored.yaml")
	k.wait(t, "condition=Established", "crd/servicemonitors.monitoring.coreos.com", "crd/podmonitors.monitoring.coreos.com")
	k.apply(t, "monitors.yaml")
	k.wait(t, "condition=Ready", "pod/monitored")
	pod := fmt.Sprintf(`{namespace=%q,pod="monitored",container="work"}`, k.namespace)
	queries := map[string][2]float64{ // the lowest and the highest value
		"rate(container_cpu_usage_seconds_total" + pod + "[1m])": {0.03, 0.2},
		"container_memory_working_set_bytes" + pod:               {64 << 10, 64 << 20},
		"container_cpu_cfs_throttled_periods_total" + pod:        {1, 1e6},
		"kube_pod_container_resource_limits" + pod:               {0.1, 64 << 20},
		`orders_total{job="kubernetes-pods",pod="monitored"}`:    {42, 42},
		`orders_total{job="orders",service="orders",team="a"}`:   {42, 42},
		`orders_total{machine="control-plane-1",what="total"}`:   {42, 42},
		`orders_total{job="` + k.namespace + `/orders"}`:         {42, 42},
		`sum(coredns_dns_responses_total{rcode="NOERROR"})`:      {1, 1e6},
		`sum(kubeproxy_sync_proxy_rules_duration_seconds_count)`: {1, 1e6},
		`sum(apiserver_request_total)`:                           {10, 1e9},
		`count(skiff_machine_memory_bytes > 50e6)`:               {1, 1},
	}
	eventually(t, waitLimit, "all metrics are recorded", func() error {
		for expression, bounds := range queries {
			if err := r.metric(t, name, expression, bounds); err != nil {
				return err
			}
		}
		return nil
	})
	contains(t, "status", r.skiff(t, "status", name), "Metrics: ServiceMonitor "+k.namespace+"/orders: endpoint 1 is not scraped: basicAuth is not supported.")
	// Who reads metrics can do nothing else.
	for what, want := range map[string]string{
		"get nodes --subresource=metrics": "yes", "get /metrics": "yes", "watch pods": "yes", "list servicemonitors.monitoring.coreos.com": "yes",
		"get secrets": "no", "get nodes --subresource=proxy": "no", "create pods": "no", "get /debug/pprof/": "no", "list services": "no",
	} {
		args := append([]string{"auth", "can-i", "--as", names.UserMetrics}, strings.Fields(what)...)
		equal(t, "may "+names.UserMetrics+" "+what, strings.TrimSpace(k.try(t, args...).stdout), want)
	}
	lasting := `max_over_time(container_memory_working_set_bytes` + pod + `[10m])`
	k.kubectl(t, "delete", "pod", "monitored", "--wait=true")
	eventually(t, waitLimit, "the pod's series has ended", func() error {
		if err := r.metric(t, name, `absent(container_memory_working_set_bytes`+pod+`)`, [2]float64{1, 1}); err != nil {
			return err
		}
		return r.metric(t, name, lasting, [2]float64{64 << 10, 64 << 20})
	})

	contains(t, "down", r.skiff(t, "down", name, "--keep-records"), "are kept as "+name+".")
	for expression, bounds := range map[string][2]float64{lasting: {64 << 10, 64 << 20}, `max_over_time(orders_total[10m])`: {42, 42}} {
		if err := r.metric(t, name, expression, bounds); err != nil {
			t.Errorf("of the deleted cluster: %v", err)
		}
	}
	a := r.trySkiff(t, "metrics", "query", "sum(", "-c", name)
	equal(t, "exit code of a bad query", a.code, 2)
	contains(t, "message", a.stderr, "unclosed left parenthesis")
	contains(t, "list", r.skiff(t, "list", "--kept"), name+".")
	r.skiff(t, "prune", "--records")
	if list := r.skiff(t, "list", "--kept"); strings.Contains(list, name+".") {
		t.Errorf("after prune: %s", list)
	}
}

// metric returns an error unless an expression has values and all are within two bounds.
func (r *rig) metric(t *testing.T, cluster, expression string, bounds [2]float64) error {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]json.RawMessage }
		}
	}
	r.skiffJSON(t, &answer, "metrics", "query", expression, "-c", cluster)
	if len(answer.Data.Result) == 0 {
		return fmt.Errorf("%s: no result", expression)
	}
	for _, one := range answer.Data.Result {
		text, err := strconv.Unquote(string(one.Value[1]))
		if err != nil {
			return err
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || value < bounds[0] || value > bounds[1] {
			return fmt.Errorf("%s is %s, want %g to %g", expression, text, bounds[0], bounds[1])
		}
	}
	return nil
}
