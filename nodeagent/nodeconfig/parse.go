package nodeconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/internal/cabundle"
)

// MaxBytes bounds a document, padding included.
const MaxBytes = 2 << 20

// ErrInvalid is returned for bytes that are not a valid node document.
var ErrInvalid = errors.New("invalid node document")

// Read reads and checks the document in a file.
func Read(file string) (Node, error) {
	f, err := os.Open(file)
	if err != nil {
		return Node{}, fmt.Errorf("read the node document: %w", err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err != nil {
		return Node{}, fmt.Errorf("read the node document: %w", err)
	}
	node, err := Parse(raw)
	if err != nil {
		return Node{}, fmt.Errorf("%s: %w", file, err)
	}
	return node, nil
}

// Parse decodes and checks a document, which may be padded with white space or
// zero bytes to the size of a disk. Unknown keys are an error: host and image
// come from the same build.
func Parse(raw []byte) (Node, error) {
	node, err := parse(raw)
	if err == nil {
		err = node.validate()
	}
	if err != nil {
		return Node{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return node, nil
}

func parse(raw []byte) (Node, error) {
	if len(raw) > MaxBytes {
		return Node{}, fmt.Errorf("larger than %d bytes", MaxBytes)
	}
	raw = bytes.TrimRight(raw, "\x00\n\r\t ")
	var version struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return Node{}, err
	}
	if version.APIVersion != APIVersion {
		return Node{}, fmt.Errorf("apiVersion is %q, this image supports %q", version.APIVersion, APIVersion)
	}
	var node Node
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&node); err != nil {
		return Node{}, err
	}
	return node, nil
}

func (n *Node) validate() error {
	if !isLabel(n.Cluster) {
		return fmt.Errorf("cluster %q is not a DNS label", n.Cluster)
	}
	if !isLabel(n.Name) {
		return fmt.Errorf("name %q is not a DNS label", n.Name)
	}
	if err := n.validateRole(); err != nil {
		return err
	}
	if err := n.Network.validate(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	for _, f := range n.Folders {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" {
			return fmt.Errorf("folder %q is not an absolute path", f.Path)
		}
	}
	if err := n.Kubernetes.validate(); err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	if err := n.validateIPv6(); err != nil {
		return err
	}
	if err := n.Host.Validate(); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if len(n.ControlPlanes) == 0 {
		return errors.New("controlPlanes is empty")
	}
	if err := validatePeers("controlPlanes", n.ControlPlanes); err != nil {
		return err
	}
	for name := range n.Files {
		if !filepath.IsLocal(name) || path.Clean(name) != name || name == "." {
			return fmt.Errorf("file %q is not a path below the PKI directory", name)
		}
	}
	return nil
}

// validateIPv6 checks that the document has all of the IPv6 addresses or none.
func (n *Node) validateIPv6() error {
	all := []netip.Prefix{n.Network.Address6, n.Kubernetes.PodCIDR6, n.Kubernetes.ServiceCIDR6}
	if all[0] == (netip.Prefix{}) && all[1] == all[0] && all[2] == all[0] {
		return nil
	}
	for i, p := range all {
		if !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() {
			return fmt.Errorf("address6, podCIDR6 and serviceCIDR6 must be IPv6 addresses with a prefix length, or all missing: got %q", p)
		}
		for _, other := range all[:i] {
			if p.Overlaps(other) {
				return fmt.Errorf("the IPv6 ranges %s and %s overlap", other, p)
			}
		}
	}
	if own := addressing.IPv6(n.Network.Address6, n.Network.Address.Addr()); n.Network.Address6.Addr() != own {
		return fmt.Errorf("address6 is %s: the IPv6 address of %s is %s", n.Network.Address6.Addr(), n.Network.Address.Addr(), own)
	}
	return nil
}

func (n *Node) validateRole() error {
	switch n.Role {
	case RoleControlPlane:
		if n.Etcd == nil || len(n.Etcd.Members) == 0 {
			return errors.New("a control plane needs etcd.members")
		}
		return validatePeers("etcd.members", n.Etcd.Members)
	case RoleWorker:
		if n.Etcd != nil {
			return errors.New("a worker must not have etcd")
		}
		return nil
	}
	return fmt.Errorf("unknown role %q", n.Role)
}

// Validate reports what is wrong with the settings.
func (h Host) Validate() error {
	for _, name := range h.Search {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("search domain %q is not a DNS name", name)
		}
	}
	for _, p := range []struct{ name, value string }{{"http", h.Proxy.HTTP}, {"https", h.Proxy.HTTPS}, {"no", h.Proxy.No}} {
		if strings.ContainsFunc(p.value, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("proxy setting %q is not one line of ASCII text", p.name) // the value may have a password
		}
	}
	if h.Authorities == "" {
		return nil
	}
	if err := cabundle.Check([]byte(h.Authorities)); err != nil {
		return fmt.Errorf("authorities: %w", err)
	}
	return nil
}

func (n *Network) validate() error {
	if mac, err := net.ParseMAC(n.MAC); err != nil || len(mac) != 6 {
		return fmt.Errorf("mac %q is not an Ethernet address", n.MAC)
	}
	if !n.Address.IsValid() || !n.Address.Addr().Is4() || n.Address.Addr().IsUnspecified() {
		return fmt.Errorf("address %q is not an IPv4 address with a prefix length", n.Address)
	}
	if !n.Gateway.IsValid() || !n.Address.Masked().Contains(n.Gateway) {
		return fmt.Errorf("gateway %q is not in %s", n.Gateway, n.Address.Masked())
	}
	if n.MTU != 0 && (n.MTU < 1280 || n.MTU > 65535) {
		return fmt.Errorf("mtu %d is out of range", n.MTU)
	}
	for _, server := range n.Nameservers {
		if !server.IsValid() || server.Zone() != "" {
			return fmt.Errorf("nameserver %q is not an IP address", server)
		}
	}
	return validatePeers("hosts", n.Hosts)
}

func (k *Kubernetes) validate() error {
	switch {
	case !k.PodCIDR.IsValid():
		return errors.New("podCIDR is missing")
	case !k.ServiceCIDR.IsValid():
		return errors.New("serviceCIDR is missing")
	case k.PodCIDR.Overlaps(k.ServiceCIDR):
		return fmt.Errorf("podCIDR %s and serviceCIDR %s overlap", k.PodCIDR, k.ServiceCIDR)
	case !k.ServiceCIDR.Contains(k.DNSAddress):
		return fmt.Errorf("dnsAddress %s is not in serviceCIDR %s", k.DNSAddress, k.ServiceCIDR)
	case !isName(k.DNSDomain):
		return fmt.Errorf("dnsDomain %q is not a DNS name", k.DNSDomain)
	case len(RuntimesNamed(k.Runtimes)) != len(k.Runtimes):
		return fmt.Errorf("runtimes %q has an unknown runtime", k.Runtimes)
	}
	return nil
}

func validatePeers(field string, peers []Peer) error {
	for _, peer := range peers {
		if !isName(peer.Name) {
			return fmt.Errorf("%s: %q is not a DNS name", field, peer.Name)
		}
		if peer.Address == (netip.Addr{}) || peer.Address.Zone() != "" {
			return fmt.Errorf("%s: %s has no valid address", field, peer.Name)
		}
	}
	return nil
}

// isName reports whether s consists of DNS labels.
func isName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

// isLabel reports whether s is a DNS label (RFC 1123), as the names of machines
// and clusters are.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}
