package target

import (
	"maps"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Sample is a value that the host knows itself.
type Sample struct {
	Labels labels.Labels
	Value  float64
}

// Machine is a machine as the host sees it.
type Machine struct {
	Node       string
	Running    bool
	CPUSeconds float64
	// MemoryBytes and DiskBytes are what it uses on the host.
	MemoryBytes, DiskBytes float64
}

// OfMachines returns the samples of machines.
func OfMachines(machines []Machine) []Sample {
	var all []Sample
	for _, m := range machines {
		add := func(name string, value float64) {
			all = append(all, Sample{labels.FromStrings(model.MetricNameLabel, name, "job", JobMachine, "node", m.Node), value})
		}
		add("skiff_machine_running", number(m.Running))
		if m.Running {
			add("skiff_machine_cpu_seconds_total", m.CPUSeconds)
			add("skiff_machine_memory_bytes", m.MemoryBytes)
		}
		add("skiff_machine_disk_bytes", m.DiskBytes)
	}
	return all
}

// units of resources, as kube-state-metrics names them.
var units = map[string]string{"cpu": "core", "memory": "byte"}

// State returns what kube-state-metrics would export of pods and nodes, as far as screens
// show it: states, restarts, and what containers may use. ready has the nodes that are
// registered. Simulated nodes, which have no machine, and their pods are left out: there may
// be thousands.
func State(pods []Pod, ready map[string]bool, network Network) []Sample {
	var all []Sample
	add := func(name string, value float64, pairs ...string) {
		pairs = append(pairs, model.MetricNameLabel, name, "job", JobState)
		all = append(all, Sample{labels.FromStrings(pairs...), value})
	}
	machine := func(node string) bool {
		_, ok := network.Nodes[node]
		return ok
	}
	for _, node := range slices.Sorted(maps.Keys(ready)) {
		if !machine(node) {
			continue
		}
		add("kube_node_status_condition", number(ready[node]), "node", node, "condition", "Ready", "status", "true")
	}
	for _, p := range pods {
		if p.Node != "" && !machine(p.Node) {
			continue
		}
		of := []string{"namespace", p.Namespace, "pod", p.Name}
		add("kube_pod_info", 1, append(of, "node", p.Node)...)
		add("kube_pod_status_phase", 1, append(of, "phase", p.Phase)...)
		for _, c := range p.Containers {
			of := append(slices.Clone(of), "container", c.Name)
			add("kube_pod_container_status_restarts_total", float64(c.Restarts), of...)
			add("kube_pod_container_status_ready", number(c.Ready), of...)
			if c.LastTerminated != "" {
				add("kube_pod_container_status_last_terminated_reason", 1, append(of, "reason", c.LastTerminated)...)
			}
			if c.WaitingFor != "" {
				add("kube_pod_container_status_waiting_reason", 1, append(of, "reason", c.WaitingFor)...)
			}
			for resource, unit := range units {
				if v, ok := c.Requests[resource]; ok {
					add("kube_pod_container_resource_requests", v, append(of, "node", p.Node, "resource", resource, "unit", unit)...)
				}
				if v, ok := c.Limits[resource]; ok {
					add("kube_pod_container_resource_limits", v, append(of, "node", p.Node, "resource", resource, "unit", unit)...)
				}
			}
		}
	}
	return all
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
