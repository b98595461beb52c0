package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What a Port leads to.
const (
	PortService = "svc"
	PortPod     = "pod"
	PortNode    = "node"
)

// Protocols of a Port.
const (
	ProtocolTCP = "tcp"
	ProtocolUDP = "udp"
)

// defaultNamespace is that of a Port's target without one.
const defaultNamespace = "default"

// Port is a port of the host that leads into the cluster.
type Port struct {
	// Address is where the host listens, a loopback address unless the user asks
	// for another.
	Address netip.Addr
	// Host is the port there.
	Host     uint16
	Protocol string
	// Kind is PortService, PortPod or PortNode. Namespace is empty for a node, Name
	// is empty for any node.
	Kind, Namespace, Name string
	// Target is a port number or, for services, the name of a port.
	Target string
}

var (
	portForm = regexp.MustCompile(`^(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+):)?([0-9]+):([^:]+)(?::([^:/]+))?(?:/(tcp|udp))?$`)
	portName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$`)
)

// kindOf are the names that users may give a kind.
var kindOf = map[string]string{
	"svc": PortService, "service": PortService, "services": PortService,
	"po": PortPod, "pod": PortPod, "pods": PortPod, "node": PortNode, "nodes": PortNode,
}

// ParsePort reads [ADDRESS:]HOSTPORT:TARGET[/udp]. TARGET is svc/NAME[:PORT],
// pod/NAME[:PORT], each with NAMESPACE/ before NAME if it is not namespace, or
// node[/NAME][:PORT]. PORT is HOSTPORT if it is missing.
func ParsePort(text, namespace string) (Port, error) {
	p, err := parsePort(text, cmp.Or(namespace, defaultNamespace))
	if err != nil {
		return Port{}, fmt.Errorf("invalid port %q: %w", text, err)
	}
	return p, nil
}

func parsePort(text, namespace string) (Port, error) {
	parts := portForm.FindStringSubmatch(text)
	if parts == nil {
		return Port{}, errors.New("use e.g. 8080:svc/web:80, 5432:pod/db-0:5432 or 30080:node")
	}
	p := Port{Address: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Protocol: cmp.Or(parts[5], ProtocolTCP), Target: parts[4]}
	if parts[1] != "" {
		address, err := netip.ParseAddr(strings.Trim(parts[1], "[]"))
		if err != nil {
			return Port{}, fmt.Errorf("%s is not an IP address", parts[1])
		}
		p.Address = address
	}
	var err error
	if p.Host, err = portNumber(parts[2]); err != nil {
		return Port{}, err
	}
	p.Target = cmp.Or(p.Target, strconv.Itoa(int(p.Host)))
	target := strings.Split(parts[3], "/")
	if last := target[len(target)-1]; parts[4] == "" && (last == ProtocolTCP || last == ProtocolUDP) {
		p.Protocol, target = last, target[:len(target)-1] // without a port, the pattern takes it for a name
	}
	if len(target) == 0 {
		return Port{}, errors.New("the target is missing")
	}
	kind, known := kindOf[target[0]]
	if !known {
		return Port{}, fmt.Errorf("unknown target %q: use svc, pod or node", target[0])
	}
	p.Kind = kind
	if kind == PortNode {
		return p, p.readNode(target[1:])
	}
	return p, p.readObject(target[1:], namespace)
}

func (p *Port) readNode(names []string) error {
	switch {
	case len(names) > 1:
		return errors.New("use node:PORT or node/NAME:PORT")
	case len(names) == 1:
		p.Name = names[0]
		if !domain.MatchString(p.Name) {
			return fmt.Errorf("%q is not the name of a node", p.Name)
		}
	}
	_, err := portNumber(p.Target)
	return err
}

func (p *Port) readObject(names []string, namespace string) error {
	p.Namespace = namespace
	switch len(names) {
	case 1:
		p.Name = names[0]
	case 2:
		p.Namespace, p.Name = names[0], names[1]
	default:
		return fmt.Errorf("use %s/NAME:PORT or %s/NAMESPACE/NAME:PORT", p.Kind, p.Kind)
	}
	if !label.MatchString(p.Namespace) {
		return fmt.Errorf("%q is not the name of a namespace", p.Namespace)
	}
	if !domain.MatchString(p.Name) {
		return fmt.Errorf("%q is not a name", p.Name)
	}
	if _, err := portNumber(p.Target); err != nil && (p.Kind == PortPod || !portName.MatchString(p.Target) || isNumber(p.Target)) {
		return err
	}
	return nil
}

func isNumber(text string) bool {
	_, err := strconv.ParseInt(text, 10, 64)
	return err == nil
}

func portNumber(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port: use 1 to 65535", text)
	}
	return uint16(n), nil
}

// String returns the shortest form that ParsePort reads with the default
// namespace.
func (p Port) String() string {
	var b strings.Builder
	if p.Address != netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		b.WriteString(strings.TrimSuffix(netip.AddrPortFrom(p.Address, 0).String(), "0"))
	}
	fmt.Fprintf(&b, "%d:%s", p.Host, p.Leads())
	return b.String()
}

// SamePlace reports whether two ports use the same port of the host.
func (p Port) SamePlace(other Port) bool {
	return p.Address == other.Address && p.Host == other.Host && p.Protocol == other.Protocol
}

// Leads returns where the port leads to, as in String.
func (p Port) Leads() string {
	var b strings.Builder
	b.WriteString(p.Kind)
	if p.Kind != PortNode && p.Namespace != defaultNamespace {
		b.WriteString("/" + p.Namespace)
	}
	if p.Name != "" {
		b.WriteString("/" + p.Name)
	}
	b.WriteString(":" + p.Target)
	if p.Protocol != ProtocolTCP {
		b.WriteString("/" + p.Protocol)
	}
	return b.String()
}

// ParsePorts reads several ports, of which no two may be the same on the host.
func ParsePorts(texts []string) ([]Port, []error) {
	var ports []Port
	var faults []error
	for _, text := range texts {
		p, err := ParsePort(text, "")
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if i := slices.IndexFunc(ports, p.SamePlace); i >= 0 {
			faults = append(faults, fmt.Errorf("ports %q and %q use the same port of the host", ports[i], text))
			continue
		}
		ports = append(ports, p)
	}
	return ports, faults
}
