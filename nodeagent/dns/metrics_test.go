package dns

import (
	"testing"
	"time"

	"github.com/coredns/caddy"
	miekg "github.com/miekg/dns"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/component-base/metrics/legacyregistry"
)

// sums returns the counters and the numbers of observations, by metric.
func sums(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetType() == dto.MetricType_HISTOGRAM {
				all[family.GetName()] += float64(m.GetHistogram().GetSampleCount())
			} else {
				all[family.GetName()] += m.GetCounter().GetValue()
			}
		}
	}
	return all
}

// Queries of the cluster's names and of the user's are counted in the registry that the
// kubelet serves, also after the configuration has changed.
func TestQueriesAreCountedWhereTheKubeletServesThem(t *testing.T) {
	if err := register(); err != nil {
		t.Fatal(err)
	}
	hosts := custom{lines: "  hosts {\n    192.0.2.10 shop.test\n    fallthrough\n  }\n"}
	server, err := caddy.Start(local(t, hosts, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stop(server) }()
	const queries = 3
	for round := range 2 {
		before := sums(t)
		for range queries {
			question := new(miekg.Msg).SetQuestion("shop.test.", miekg.TypeA)
			if _, err := miekg.Exchange(question, server.Servers()[0].LocalAddr().String()); err != nil {
				t.Fatal(err)
			}
		}
		after := sums(t)
		for after["coredns_dns_responses_total"]-before["coredns_dns_responses_total"] < queries { // an answer is counted after it is sent
			time.Sleep(time.Millisecond)
			after = sums(t)
		}
		for name, want := range map[string]float64{
			"coredns_dns_requests_total": queries, "coredns_dns_responses_total": queries, "coredns_dns_request_duration_seconds": queries,
			"coredns_cache_requests_total": queries,
		} {
			if got := after[name] - before[name]; got != want {
				t.Errorf("round %d: %s grew by %g, want %g", round, name, got, want)
			}
		}
		if got := after["coredns_cache_hits_total"] - before["coredns_cache_hits_total"]; got != queries-1 {
			t.Errorf("round %d: %g hits of the cache were counted", round, got)
		}
		if server, err = server.Restart(local(t, hosts, 0)); err != nil {
			t.Fatal(err)
		}
	}
}
