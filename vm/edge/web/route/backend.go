package route

import (
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Protocol is how the pods behind a port speak HTTP.
type Protocol string

// The protocols.
const (
	HTTP  Protocol = "http"  // HTTP/1.1
	H2C   Protocol = "h2c"   // HTTP/2 without TLS
	HTTPS Protocol = "https" // either, with TLS
)

// Backend is a port of a Service.
type Backend struct {
	Service  types.NamespacedName
	Port     int32
	Protocol Protocol
	// Endpoints are the addresses to which requests may be sent, IP:PORT, sorted.
	Endpoints []string
	// Sticky means that all requests of a client go to the same endpoint.
	Sticky bool
}

// service is a Service and its TCP ports.
type service struct {
	external bool // of type ExternalName
	ports    []port
}

type port struct {
	name        string
	number      int32
	appProtocol string
	backend     Backend
}

// label is how a port is called in a name.
func (p port) label() string {
	if p.name != "" {
		return p.name
	}
	return strconv.Itoa(int(p.number))
}

// newService joins a Service and its slices.
func newService(s *corev1.Service, endpointSlices []*discoveryv1.EndpointSlice) service {
	result := service{external: s.Spec.Type == corev1.ServiceTypeExternalName}
	for _, p := range s.Spec.Ports {
		if p.Protocol != corev1.ProtocolTCP && p.Protocol != "" {
			continue
		}
		one := port{name: p.Name, number: p.Port}
		if p.AppProtocol != nil {
			one.appProtocol = strings.ToLower(*p.AppProtocol)
		}
		one.backend = Backend{
			Service: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, Port: p.Port,
			Protocol: one.protocol(), Endpoints: endpoints(p.Name, endpointSlices),
			Sticky: s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP,
		}
		result.ports = append(result.ports, one)
	}
	return result
}

// endpoints returns the ready endpoints of a port. If there are none, it returns
// those that still serve while they terminate, as the service proxy does (KEP-1669).
func endpoints(portName string, endpointSlices []*discoveryv1.EndpointSlice) []string {
	var ready, leaving []string
	for _, slice := range endpointSlices {
		number := slicePort(portName, slice)
		if slice.AddressType != discoveryv1.AddressTypeIPv4 || number == 0 {
			continue
		}
		for _, e := range slice.Endpoints {
			if len(e.Addresses) == 0 {
				continue
			}
			// The addresses of one endpoint are interchangeable.
			address := net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(number)))
			switch c := e.Conditions; {
			case c.Ready == nil || *c.Ready:
				ready = append(ready, address)
			case c.Serving != nil && *c.Serving && c.Terminating != nil && *c.Terminating:
				leaving = append(leaving, address)
			}
		}
	}
	if len(ready) == 0 {
		ready = leaving
	}
	slices.Sort(ready)
	return slices.Compact(ready)
}

// slicePort returns the number of a Service's port in a slice, 0 if it is not there.
func slicePort(name string, slice *discoveryv1.EndpointSlice) int32 {
	for _, p := range slice.Ports {
		if p.Port == nil || p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP {
			continue
		}
		if p.Name == nil && name == "" || p.Name != nil && *p.Name == name {
			return *p.Port
		}
	}
	return 0
}

// protocol follows appProtocol (KEP-3726). Without it the port's name counts, in
// which many charts follow Istio's convention, and then the number 443.
func (p port) protocol() Protocol {
	switch p.appProtocol {
	case "kubernetes.io/h2c", "h2c", "http2", "grpc":
		return H2C
	case "https", "kubernetes.io/wss", "wss":
		return HTTPS
	case "":
	default:
		return HTTP
	}
	switch kind := p.kind(); {
	case kind == "grpc" || kind == "h2c" || kind == "http2":
		return H2C
	case kind == "https" || p.name == "" && p.number == 443:
		return HTTPS
	}
	return HTTP
}

// kind is the part of a port's name before the first hyphen.
func (p port) kind() string {
	kind, _, _ := strings.Cut(p.name, "-")
	return kind
}

// preference is how well a port suits requests that name none; lower is better.
// Browsers come first. unsuitable ports are used only if the Service has no other.
func (p port) preference() int {
	switch {
	case slices.Contains([]string{"http", "ws", "kubernetes.io/ws"}, p.appProtocol):
		return 0
	case p.protocol() == H2C:
		return 3
	case p.protocol() == HTTPS:
		return 5
	case p.appProtocol != "": // such as postgresql
		return unsuitable
	case slices.Contains([]string{"http", "http1", "web"}, p.kind()):
		return 1
	case p.number == 80:
		return 2
	case p.number == 8080:
		return 4
	}
	return unsuitable
}

const unsuitable = 9

// choose returns the port for requests that name none: the best one, or the only
// one.
func (s service) choose() (port, bool) {
	if len(s.ports) == 1 {
		return s.ports[0], true
	}
	var best port
	found := unsuitable
	for _, p := range s.ports {
		if preference := p.preference(); preference < found {
			best, found = p, preference
		}
	}
	return best, found < unsuitable
}

// find returns the port with a name or a number.
func (s service) find(nameOrNumber string) (port, bool) {
	for _, p := range s.ports {
		if p.name == nameOrNumber {
			return p, true
		}
	}
	for _, p := range s.ports {
		if strconv.Itoa(int(p.number)) == nameOrNumber {
			return p, true
		}
	}
	return port{}, false
}
