package dns

import (
	"errors"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/metrics"
	"github.com/coredns/coredns/plugin/metrics/vars"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics/legacyregistry"
)

// countDirective is the name in the Corefile of the plugin that counts queries.
const countDirective = "count"

// setupCount adds upstream's plugin that counts queries to a server. Upstream's own setup
// would also listen on a port for metrics, and DNS would not start if another program
// used that port.
func setupCount(c *caddy.Controller) error {
	c.Next()
	dnsserver.GetConfig(c).AddPlugin(func(next plugin.Handler) plugin.Handler {
		counting := metrics.New("")
		counting.Next = next
		return counting
	})
	return nil
}

// serveMetrics adds figures of CoreDNS to those of the kubelet, which runs in the same
// process and authorizes whoever reads them.
func serveMetrics() {
	legacyregistry.RawMustRegister(
		vars.RequestCount, vars.RequestDuration, vars.ResponseRcode, vars.Panic,
		existing("requests_total", "The count of cache requests.", "server", "zones", "view"),
		existing("hits_total", "The count of cache hits.", "server", "type", "zones", "view"),
	)
}

// existing returns a counter of upstream's cache. It is not exported, but the error of
// registering a counter of the same name contains it. A test fails if upstream changes it.
func existing(name, help string, labels ...string) prometheus.Collector {
	twin := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: plugin.Namespace, Subsystem: "cache", Name: name, Help: help}, labels)
	var known prometheus.AlreadyRegisteredError
	if errors.As(prometheus.Register(twin), &known) {
		return known.ExistingCollector
	}
	return twin
}
