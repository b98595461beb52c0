package fleet

import (
	"context"
	"net/http"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/edge/catalog"
	"github.com/skiff-dev/skiff/vm/kube"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/records/metrics"
	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

// Metrics serves the recorded metrics in the HTTP API of Prometheus.
func (f *Fleet) Metrics() http.Handler { return f.metrics.Handler() }

// newRecorder makes the part that records metrics.
func newRecorder(c core, objects *catalog.Catalog) (*metrics.Recorder, error) {
	tls := c.credentials.ClientConfig(credentials.ClusterCA, credentials.Metrics)
	client, err := kube.NewWatcher(c.api.watchConfigAs(tls))
	if err != nil {
		return nil, err
	}
	monitors, err := kube.NewDynamicWatcher(c.api.watchConfigAs(tls))
	if err != nil {
		return nil, err
	}
	return metrics.New(metrics.Config{
		Dir: metrics.Directory(c.dir.Records()), Settings: c.recordsSettings, Begin: c.work,
		Nodes: c.runningNodes, Machines: c.usedByMachines,
		Ready:    func() map[string]bool { return ready(objects.Snapshot().Nodes) },
		Services: func() []target.Service { return services(objects.Snapshot().Services) },
		Network:  c.podNetwork, Client: client, Monitors: monitors, Dial: c.dial, DialTLS: tls.DialTLS(c.api.tracked(c.dial), "http/1.1"),
		FreeBytes: func() int64 { return int64(offline.FreeMiB(string(c.dir))) << 20 },
		Log:       c.log,
	}), nil
}

// recordsSettings returns the user's settings of recorded metrics.
func (c *core) recordsSettings() metrics.Settings {
	records := c.state.spec().Records
	return metrics.Settings{Disabled: records.Disabled, Keep: records.Age(), MaxBytes: records.MetricsBytes()}
}

// runningNodes returns the nodes whose machines run.
func (c *core) runningNodes(ctx context.Context) []target.Node {
	var all []target.Node
	for _, n := range c.state.members() {
		if c.machines.running(ctx, n.Name) {
			all = append(all, target.Node{Name: n.Name, Address: n.Address.Addr(), ControlPlane: n.Role == nodeconfig.RoleControlPlane})
		}
	}
	return all
}

// usedByMachines returns what machines use of the host.
func (c *core) usedByMachines(ctx context.Context) []target.Machine {
	var all []target.Machine
	for _, n := range c.state.members() {
		m := target.Machine{Node: n.Name, Running: c.machineState(ctx, n.Name) == machine.StateRunning}
		if usage, err := c.machines.driver.Usage(ctx, n.Name); err == nil {
			m.CPUSeconds, m.MemoryBytes, m.DiskBytes = usage.CPU.Seconds(), float64(usage.MemoryMiB)*(1<<20), float64(usage.DiskBytes)
		}
		all = append(all, m)
	}
	return all
}

// podNetwork returns where pods can be.
func (c *core) podNetwork() target.Network {
	network := target.Network{Pods: c.state.spec().Network.Pods, Nodes: map[string]netip.Addr{}}
	for _, n := range c.state.members() {
		network.Nodes[n.Name] = n.Address.Addr()
	}
	return network
}

// services returns the properties of services by which monitors select them.
func services(all []*corev1.Service) []target.Service {
	found := make([]target.Service, 0, len(all))
	for _, s := range all {
		service := target.Service{Namespace: s.Namespace, Name: s.Name, Labels: s.Labels, Selector: s.Spec.Selector}
		for _, port := range s.Spec.Ports {
			service.Ports = append(service.Ports, servicePort(port))
		}
		found = append(found, service)
	}
	return found
}

func servicePort(port corev1.ServicePort) target.ServicePort {
	number := port.TargetPort.IntValue()
	if number == 0 {
		number = int(port.Port)
	}
	found := target.ServicePort{Name: port.Name, Number: uint16(number)} //nolint:gosec // the API validates ports
	if port.TargetPort.Type == intstr.String {
		found.Target = port.TargetPort.StrVal
	}
	return found
}

// ready reports whether nodes are ready, by name.
func ready(nodes []*corev1.Node) map[string]bool {
	all := map[string]bool{}
	for _, n := range nodes {
		for _, condition := range n.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				all[n.Name] = condition.Status == corev1.ConditionTrue
			}
		}
	}
	return all
}
