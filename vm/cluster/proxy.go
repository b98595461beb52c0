package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/internal/cabundle"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// NoProxy as the value of a field of Proxy means none, whatever the environment says.
const NoProxy = "none"

// Proxy is how the cluster reaches the outside. It can change while the cluster exists.
type Proxy struct {
	// HTTP and HTTPS are URLs of proxies for these two kinds of URLs, No a list as
	// in the variable NO_PROXY. An empty one means what Environment says, or NoProxy.
	HTTP  string `json:"http,omitempty"`
	HTTPS string `json:"https,omitempty"`
	No    string `json:"no,omitempty"`
	// Pods lets containers of new pods have the usual variables.
	Pods bool `json:"pods,omitempty"`
}

// Environment is what `skiff up` found on the host.
type Environment struct {
	// Proxy has the values of the usual variables.
	Proxy nodeconfig.Proxy `json:"proxy,omitzero"`
	// Authorities is the content of the file in Spec.CABundle.
	Authorities string `json:"authorities,omitempty"`
	// File is the path of the configuration file with which the cluster was last changed;
	// empty if there was none.
	File string `json:"file,omitempty"`
}

// HostProxy returns how the host itself reaches the outside for the cluster.
func HostProxy(spec Spec) nodeconfig.Proxy {
	chosen := func(wanted, found string) string {
		switch wanted {
		case "":
			return found
		case NoProxy:
			return ""
		}
		return wanted
	}
	found := spec.Environment.Proxy
	return nodeconfig.Proxy{
		HTTP: chosen(spec.Proxy.HTTP, found.HTTP), HTTPS: chosen(spec.Proxy.HTTPS, found.HTTPS), No: chosen(spec.Proxy.No, found.No),
	}
}

// NodeProxy returns how nodes and pods reach the outside. A proxy on the host's
// loopback is at the address services, where machines reach services of the host. The
// cluster itself, and the host, are reached without a proxy. A proxy would reach what
// the egress policy forbids, so there is none unless that allows everything.
func NodeProxy(spec Spec, services netip.Addr) nodeconfig.Proxy {
	proxy := HostProxy(spec)
	if spec.Network.Egress != EgressAll || proxy.HTTP == "" && proxy.HTTPS == "" {
		return nodeconfig.Proxy{}
	}
	for _, text := range []*string{&proxy.HTTP, &proxy.HTTPS} {
		*text = seenFromNodes(*text, services)
	}
	ranges6 := spec.Network.Ranges6()
	direct := append(listed(proxy.No),
		"localhost", "127.0.0.0/8", "::1", spec.Network.Nodes.String(), spec.Network.Pods.String(), spec.Network.Services.String(),
		".svc", "."+spec.Network.Domain, ".skiff.internal", "host.docker.internal")
	direct = append(direct, listed(nodeconfig.Joined(ranges6.Nodes, ranges6.Pods, ranges6.Services))...)
	proxy.No = strings.Join(direct, ",")
	return proxy
}

// listed returns the entries of a list as in NO_PROXY.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func seenFromNodes(text string, services netip.Addr) string {
	if text == "" {
		return ""
	}
	u, err := parseProxy(text)
	if err != nil {
		return "" // checked before
	}
	if len(loopback(u)) > 0 {
		u.Host = net.JoinHostPort(services.String(), u.Port())
	}
	return u.String()
}

// LoopbackProxies returns where proxies may listen on the host's loopback: for each
// proxy, in the order in which the addresses are tried.
func LoopbackProxies(spec Spec) []netip.AddrPort {
	var all []netip.AddrPort
	if spec.Network.Egress != EgressAll {
		return nil
	}
	proxy := HostProxy(spec)
	for _, text := range []string{proxy.HTTP, proxy.HTTPS} {
		if u, err := parseProxy(text); err == nil {
			all = append(all, loopback(u)...)
		}
	}
	return all
}

// loopback returns the addresses of a proxy on the host's loopback, nothing for any
// other.
func loopback(u *url.URL) []netip.AddrPort {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)),
			netip.AddrPortFrom(netip.IPv6Loopback(), uint16(port)),
		}
	}
	if address, err := netip.ParseAddr(name); err == nil && address.IsLoopback() {
		return []netip.AddrPort{netip.AddrPortFrom(address.Unmap(), uint16(port))}
	}
	return nil
}

// proxyPorts are the usual ports of proxies by the scheme of their URLs.
var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// parseProxy returns the URL of a proxy, with its port. As in the usual variables, the
// scheme may be missing.
func parseProxy(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case proxyPorts[u.Scheme] == "":
		return nil, fmt.Errorf("the scheme %q is unknown", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("the host is missing")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("a proxy has no path")
	}
	port := u.Port()
	if port == "" {
		port = proxyPorts[u.Scheme]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("%q is not a port", port)
	}
	u.Host, u.Path = net.JoinHostPort(u.Hostname(), port), ""
	return u, nil
}

// validateProxy returns what is wrong with proxies and authorities. A password in a URL
// is not repeated.
func validateProxy(spec Spec) []error {
	var faults []error
	effective := HostProxy(spec)
	for _, p := range []struct{ key, variable, wanted, value string }{
		{"proxy.http", "HTTP_PROXY", spec.Proxy.HTTP, effective.HTTP}, {"proxy.https", "HTTPS_PROXY", spec.Proxy.HTTPS, effective.HTTPS},
	} {
		if p.value == "" {
			continue
		}
		_, err := parseProxy(p.value)
		switch {
		case err == nil:
		case p.wanted != "":
			faults = append(faults, fmt.Errorf("invalid %s: %w; use e.g. http://proxy.example:3128, or none", p.key, err))
		default:
			faults = append(faults, fmt.Errorf("invalid %s in the environment: %w; correct it, or set %s", p.variable, err, p.key))
		}
	}
	for _, entry := range listed(effective.No) {
		if len(entry) > 253 || strings.ContainsFunc(entry, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"'\`, r) }) {
			faults = append(faults, fmt.Errorf("invalid entry %q of proxy.no: use host names, domains such as .example.com, and address ranges", entry))
		}
	}
	if err := (nodeconfig.Host{Proxy: effective}).Validate(); err != nil {
		faults = append(faults, fmt.Errorf("proxy: %w", err))
	}
	if spec.Proxy.Pods && spec.Network.Egress != EgressAll {
		faults = append(faults, fmt.Errorf("proxy.pods needs network.egress %s: a proxy reaches what %s forbids", EgressAll, spec.Network.Egress))
	}
	if spec.Environment.Authorities != "" {
		if err := cabundle.Check([]byte(spec.Environment.Authorities)); err != nil {
			faults = append(faults, fmt.Errorf("caBundle: %s: %w", spec.CABundle, err))
		}
	}
	return faults
}
