package edge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/edge/catalog"
	"github.com/skiff-dev/skiff/vm/edge/forward"
)

// message explains to users why a listener does not have the wanted port.
func message(s forward.State) string {
	if s.Bound == 0 {
		return fmt.Sprintf("%s; the host does not answer for it", s.Reason)
	}
	return fmt.Sprintf("%s; the host answers on %s instead", s.Reason, netip.AddrPortFrom(s.Address, s.Bound))
}

// states returns the states of the listeners, by ID; none while Run is not running.
func (e *Edge) states() map[string]forward.State {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.forwarder == nil {
		return nil
	}
	return e.forwarder.States()
}

// Services returns what can be reached from the host: load balancers, NodePorts
// where they are opened, and the ports that the user asked for.
func (e *Edge) Services() daemonapi.Services {
	states, snapshot, spec := e.states(), e.catalog.Snapshot(), e.config.Spec()
	var all daemonapi.Services
	for _, service := range snapshot.Services {
		if service.Spec.Type == corev1.ServiceTypeLoadBalancer || spec.NodePorts && service.Spec.Type == corev1.ServiceTypeNodePort {
			all.Services = append(all.Services, e.service(snapshot, service, states))
		}
	}
	ports, _ := cluster.ParsePorts(spec.Ports)
	for _, p := range ports {
		listed := daemonapi.Port{Port: p.String(), Protocol: strings.ToUpper(p.Protocol), Target: p.Leads()}
		if state := states[forward.PortID(p)]; state.Bound != 0 {
			listed.Host = netip.AddrPortFrom(state.Address, state.Bound).String()
		} else {
			listed.Problem = state.Reason
		}
		all.Ports = append(all.Ports, listed)
	}
	return all
}

func (e *Edge) service(snapshot *catalog.Snapshot, service *corev1.Service, states map[string]forward.State) daemonapi.Service {
	listed := daemonapi.Service{
		Namespace: service.Namespace, Name: service.Name, Type: string(service.Spec.Type), ClusterIP: service.Spec.ClusterIP,
		Ready: snapshot.HasReadyEndpoints(catalog.NameOf(service)),
	}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if ingress.IP != "" {
			listed.External = append(listed.External, ingress.IP)
		}
	}
	switch {
	case service.Spec.Type != corev1.ServiceTypeLoadBalancer:
	case !forward.Reachable(service):
		listed.Message = "it has no address yet"
	case !forward.Admits(service, e.config.Host):
		listed.Message = "its loadBalancerSourceRanges do not admit this host"
	}
	for _, port := range service.Spec.Ports {
		at := daemonapi.ServicePort{Name: port.Name, Protocol: string(port.Protocol), Port: int(port.Port), NodePort: int(port.NodePort)}
		for _, state := range listeners(states, service, port) {
			if state.Bound != 0 {
				at.Host = append(at.Host, netip.AddrPortFrom(state.Address, state.Bound).String())
			}
			if state.Reason != "" && at.Problem == "" {
				at.Problem = message(state)
			}
		}
		listed.Ports = append(listed.Ports, at)
	}
	return listed
}

// listeners returns the states of the listeners of a service's port.
func listeners(states map[string]forward.State, service *corev1.Service, port corev1.ServicePort) []forward.State {
	var all []forward.State
	for _, id := range []string{forward.ServiceID(service, port, false), forward.ServiceID(service, port, true), forward.NodePortID(service, port)} {
		if state, ok := states[id]; ok {
			all = append(all, state)
		}
	}
	return all
}

// Problems returns a line for users for each port that another program has. A service
// whose port only root may open is not a problem: Services lists its other port.
func (e *Edge) Problems() []string {
	states, snapshot := e.states(), e.catalog.Snapshot()
	var lines []string
	ports, _ := cluster.ParsePorts(e.config.Spec().Ports)
	for _, p := range ports {
		if state := states[forward.PortID(p)]; state.Bound == 0 && state.Reason != "" {
			lines = append(lines, fmt.Sprintf("Port %s is not open: %s.", p, state.Reason))
		}
	}
	for _, service := range snapshot.Services {
		for _, port := range service.Spec.Ports {
			all := listeners(states, service, port)
			if i := slices.IndexFunc(all, func(s forward.State) bool { return s.Taken }); i >= 0 {
				lines = append(lines, fmt.Sprintf("Service %s/%s: %s.", service.Namespace, service.Name, message(all[i])))
			}
		}
	}
	return lines
}
