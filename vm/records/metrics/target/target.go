// Package target decides what is recorded: which addresses are asked for metrics, which
// of their metrics are kept, and what the host itself knows about pods and machines. It
// does no I/O.
package target

import (
	"net/netip"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/skiff-dev/skiff/vm/records/metrics/exposition"
)

// Period is the time from one round of requests to the next.
const Period = 15 * time.Second

// Jobs, as dashboards for Prometheus know them.
const (
	JobKubelet   = "kubelet"
	JobAPIServer = "apiserver"
	// JobState has what kube-state-metrics would export.
	JobState = "kube-state-metrics"
	// JobMachine has the machines as the host sees them.
	JobMachine = "skiff"
	// JobPods has what annotated pods export.
	JobPods = "kubernetes-pods"
)

// Identity is what a request for metrics authenticates with.
type Identity int

const (
	// Anonymous presents nothing and verifies nothing: the address of a pod is all that
	// is known about it.
	Anonymous Identity = iota
	// Recorder presents the recorder's certificate to a server of the cluster.
	Recorder
)

// Target is an address that is asked for metrics.
type Target struct {
	// URL has an IP address as its host.
	URL string
	// Labels identify the target and become labels of its series.
	Labels   labels.Labels
	Identity Identity
	// Filter selects metrics by name, nil all. Drop reports whether a series is not kept
	// after all; nil keeps all.
	Filter exposition.Filter
	Drop   func(labels.Labels) bool
	// Rules change or drop the labelled series that are left (see Relabel).
	Rules Rules
	// MaxBytes bounds what is read, after decompression and the filter.
	MaxBytes int64
	Limits   exposition.Limits
	// MaxBegun is how many series it may begin in an hour, 0 if that is not limited.
	MaxBegun int
	// Every is the number of rounds from one request to the next.
	Every int
	// Times is set if the times of samples are used instead of the time of the request.
	Times bool
}

// Key identifies a target among others.
func (t Target) Key() string { return t.URL + t.Labels.String() + t.Rules.text() }

// Node is a node whose machine runs.
type Node struct {
	Name         string
	Address      netip.Addr
	ControlPlane bool
}

// Ports of a node.
const (
	portKubelet   = 10250
	portAPIServer = 6443
)

// Bounds for the cluster's own programs: cAdvisor exports about 60 series a container.
var ownLimits = exposition.Limits{Samples: 40_000, Labels: 40, LabelBytes: 1024}

const (
	ownMaxBytes = 16 << 20
	everyRound  = 1
	// The API server needs a tenth of a second to answer, and a kubelet has hundreds of
	// metrics besides.
	everyFourth = 4
)

// OfNodes returns the targets on nodes.
func OfNodes(nodes []Node) []Target {
	var all []Target
	for _, n := range nodes {
		kubelet := own(n, JobKubelet, portKubelet)
		containers, resources, node := kubelet, kubelet, kubelet
		containers.at("/metrics/cadvisor", cadvisorMetrics)
		containers.Drop, containers.Times = dropsContainer, true
		resources.at("/metrics/resource", resourceMetrics)
		resources.Times = true
		node.at("/metrics", nodeMetrics)
		node.Drop, node.Every = dropsNode, everyFourth
		all = append(all, containers, resources, node)
		if n.ControlPlane {
			api := own(n, JobAPIServer, portAPIServer)
			api.at("/metrics", apiServerMetrics)
			api.Drop, api.Every = dropsAPIServer, everyFourth
			all = append(all, api)
		}
	}
	return all
}

// own returns the target of one of the cluster's own programs, which all serve HTTPS. Its
// path is still missing.
func own(n Node, job string, port uint16) Target {
	at := netip.AddrPortFrom(n.Address, port).String()
	return Target{
		URL: "https://" + at, Identity: Recorder, Every: everyRound, MaxBytes: ownMaxBytes, Limits: ownLimits,
		Labels: labels.FromStrings("job", job, "instance", at, "node", n.Name),
	}
}

// at adds the path to a target.
func (t *Target) at(path string, metrics selected) {
	t.URL += path + "?" + metrics.query
	t.Filter = metrics.filter
	if path != "/metrics" {
		t.Labels = labels.NewBuilder(t.Labels).Set("metrics_path", path).Labels()
	}
}
