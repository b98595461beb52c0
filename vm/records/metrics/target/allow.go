package target

import (
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/skiff-dev/skiff/vm/records/metrics/exposition"
)

// What is kept of the cluster's own programs: what a screen shows, and what common
// dashboards and rules for Kubernetes use. Upstream exports about ten times as much.
var (
	cadvisorMetrics = selects(
		"container_cpu_usage_seconds_total", "container_cpu_cfs_periods_total", "container_cpu_cfs_throttled_periods_total",
		"container_cpu_cfs_throttled_seconds_total",
		"container_memory_working_set_bytes", "container_memory_rss", "container_memory_cache", "container_memory_usage_bytes",
		"container_oom_events_total", "container_start_time_seconds", "container_processes", "container_threads",
		"container_network_receive_bytes_total", "container_network_transmit_bytes_total",
		"container_network_receive_packets_dropped_total", "container_network_transmit_packets_dropped_total",
		"container_fs_usage_bytes", "container_fs_limit_bytes", "container_fs_reads_bytes_total", "container_fs_writes_bytes_total",
		"container_pressure_cpu_waiting_seconds_total", "container_pressure_memory_waiting_seconds_total",
		"container_pressure_io_waiting_seconds_total", "container_pressure_memory_stalled_seconds_total",
		"container_pressure_io_stalled_seconds_total", "container_pressure_cpu_stalled_seconds_total",
		"container_spec_memory_limit_bytes", "container_spec_cpu_quota", "container_spec_cpu_period",
		"machine_cpu_cores", "machine_memory_bytes",
	)
	resourceMetrics = selects(
		"node_cpu_usage_seconds_total", "node_memory_working_set_bytes", "node_swap_usage_bytes",
	)
	// The kubelet's process is also the node's DNS server and service proxy.
	nodeMetrics = selects(
		"coredns_dns_requests_total", "coredns_dns_responses_total", "coredns_dns_request_duration_seconds_bucket",
		"coredns_dns_request_duration_seconds_sum", "coredns_dns_request_duration_seconds_count",
		"coredns_cache_requests_total", "coredns_cache_hits_total", "coredns_panics_total",
		"kubeproxy_sync_proxy_rules_duration_seconds_bucket", "kubeproxy_sync_proxy_rules_duration_seconds_sum",
		"kubeproxy_sync_proxy_rules_duration_seconds_count", "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
		"kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
		"kubeproxy_network_programming_duration_seconds_sum", "kubeproxy_network_programming_duration_seconds_count",
	)
	apiServerMetrics = selects(
		"apiserver_request_total", "apiserver_request_duration_seconds_bucket", "apiserver_request_duration_seconds_sum",
		"apiserver_request_duration_seconds_count", "apiserver_current_inflight_requests",
		"apiserver_storage_objects", "apiserver_storage_size_bytes", "apiserver_audit_event_total",
		"etcd_request_duration_seconds_sum", "etcd_request_duration_seconds_count", "etcd_request_errors_total",
		"workqueue_depth", "workqueue_adds_total", "workqueue_queue_duration_seconds_sum", "workqueue_queue_duration_seconds_count",
		"scheduler_pending_pods", "scheduler_schedule_attempts_total", "scheduler_pod_scheduling_sli_duration_seconds_sum",
		"scheduler_pod_scheduling_sli_duration_seconds_count", "scheduler_scheduling_attempt_duration_seconds_sum",
		"scheduler_scheduling_attempt_duration_seconds_count", "scheduler_preemption_attempts_total",
		"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds",
		"go_goroutines", "go_memstats_heap_inuse_bytes",
	)
)

// selected are the metrics that are kept of an answer.
type selected struct {
	filter exposition.Filter
	// query requests these metrics only, so that neither side handles the others. The
	// client library of Prometheus follows it, and other programs ignore it.
	query string
}

func selects(names ...string) selected {
	asked := url.Values{}
	for _, name := range names {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if !slices.Contains(asked["name[]"], name) {
			asked.Add("name[]", name)
		}
	}
	return selected{exposition.NewFilter(names...), asked.Encode()}
}

// rootCgroup is the ID of the cgroup that is the whole node in cAdvisor's metrics.
const rootCgroup = "/"

// dropsContainer drops the cgroups between the node and its containers, whose figures are
// sums. Network figures exist only for a pod as a whole.
func dropsContainer(l labels.Labels) bool {
	name, id := l.Get(model.MetricNameLabel), l.Get("id")
	switch {
	case id == "" || id == rootCgroup:
		return strings.HasPrefix(name, "container_network_") && virtual(l.Get("interface"))
	case l.Get("pod") == "":
		return true
	case strings.HasPrefix(name, "container_network_"):
		return virtual(l.Get("interface"))
	}
	return l.Get("container") == "" || l.Get("container") == "POD"
}

// virtual reports whether an interface is the end of a pod's or of a tunnel, whose traffic
// is counted elsewhere.
func virtual(device string) bool {
	return device == "lo" || slices.ContainsFunc([]string{"veth", "cni", "tunl", "gre", "erspan", "ip_vti", "ip6", "sit", "vxlan", "flannel", "dummy"}, func(prefix string) bool {
		return strings.HasPrefix(device, prefix)
	})
}

// Buckets that are kept: of the API's latency, of that of DNS, and of updates of the service
// proxy's rules, in seconds.
var (
	buckets      = []string{"0.05", "0.2", "1", "1.0", "5", "5.0", "30", "30.0", "+Inf"}
	dnsBuckets   = []string{"0.001", "0.004", "0.016", "0.064", "0.256", "1.024", "4.096", "+Inf"}
	proxyBuckets = []string{"0.008", "0.064", "0.512", "4.096", "+Inf"}
)

// dropsNode drops most buckets.
func dropsNode(l labels.Labels) bool {
	kept := proxyBuckets
	if strings.HasPrefix(l.Get(model.MetricNameLabel), "coredns_") {
		kept = dnsBuckets
	}
	le := l.Get("le")
	return le != "" && !slices.Contains(kept, le)
}

// dropsAPIServer drops the latency of requests that last on purpose, and most buckets.
func dropsAPIServer(l labels.Labels) bool {
	name := l.Get(model.MetricNameLabel)
	if !strings.HasPrefix(name, "apiserver_request_duration_seconds") {
		return false
	}
	if verb := l.Get("verb"); verb == "WATCH" || verb == "CONNECT" {
		return true
	}
	le := l.Get("le")
	return le != "" && !slices.Contains(buckets, le)
}
