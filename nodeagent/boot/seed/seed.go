// Package seed lets a node document into the node only if all of it is known
// and makes sense.
package seed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path"
	"path/filepath"
	"strings"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// MaxBytes bounds a document, padding included.
const MaxBytes = 1 << 20

// ErrDocument is returned for bytes that are no node document.
var ErrDocument = errors.New("bad node document")

// isLabel says whether s is a DNS label (RFC 1123), as names of machines and
// clusters are.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// Decode reads a document that may be padded with white space or zero bytes to
// the size of a disk. Keys that this program does not know are an error: host
// and image are of one build.
func Decode(raw []byte) (*nodeconfig.Node, error) {
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrDocument, MaxBytes)
	}
	raw = bytes.TrimRight(raw, "\x00\n\r\t ")
	var version struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if version.APIVersion != nodeconfig.APIVersion {
		return nil, fmt.Errorf("%w: apiVersion %q, this image wants %q", ErrDocument, version.APIVersion, nodeconfig.APIVersion)
	}
	node := &nodeconfig.Node{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(node); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: text after the document", ErrDocument)
	}
	if err := validate(node); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return node, nil
}

func validate(n *nodeconfig.Node) error {
	if !isLabel(n.Cluster) {
		return fmt.Errorf("cluster %q is no DNS label", n.Cluster)
	}
	if !isLabel(n.Name) {
		return fmt.Errorf("name %q is no DNS label", n.Name)
	}
	switch {
	case n.Role != nodeconfig.RoleControlPlane && n.Role != nodeconfig.RoleWorker:
		return fmt.Errorf("role %q is unknown", n.Role)
	case n.Role == nodeconfig.RoleControlPlane && n.Etcd == nil:
		return errors.New("a control plane without etcd")
	case n.Role == nodeconfig.RoleWorker && n.Etcd != nil:
		return errors.New("a worker with etcd")
	}
	if err := validateNetwork(n.Network); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if len(n.ControlPlanes) == 0 {
		return errors.New("no control planes")
	}
	if err := validatePeers("controlPlanes", n.ControlPlanes); err != nil {
		return err
	}
	if n.Etcd != nil {
		if err := validatePeers("etcd.members", n.Etcd.Members); err != nil {
			return err
		}
	}
	for name := range n.Files {
		if !filepath.IsLocal(name) || path.Clean(name) != name || name == "." {
			return fmt.Errorf("file %q is not a path below the PKI directory", name)
		}
	}
	return nil
}

func validateNetwork(n nodeconfig.Network) error {
	if mac, err := net.ParseMAC(n.MAC); err != nil || len(mac) != 6 {
		return fmt.Errorf("mac %q is no Ethernet address", n.MAC)
	}
	if !n.Address.IsValid() || !n.Address.Addr().Is4() || n.Address.Addr().IsUnspecified() {
		return fmt.Errorf("address %q is no IPv4 address with a length", n.Address)
	}
	if !n.Gateway.IsValid() || !n.Address.Masked().Contains(n.Gateway) {
		return fmt.Errorf("gateway %q is not in %s", n.Gateway, n.Address.Masked())
	}
	if n.MTU != 0 && (n.MTU < 1280 || n.MTU > 65535) {
		return fmt.Errorf("mtu %d is out of range", n.MTU)
	}
	for _, server := range n.Nameservers {
		if !server.IsValid() || server.Zone() != "" {
			return fmt.Errorf("nameserver %q is no address", server)
		}
	}
	return validatePeers("hosts", n.Hosts)
}

func validatePeers(what string, peers []nodeconfig.Peer) error {
	for _, peer := range peers {
		for part := range strings.SplitSeq(peer.Name, ".") {
			if !isLabel(part) {
				return fmt.Errorf("%s: name %q is no DNS name", what, peer.Name)
			}
		}
		if peer.Address == (netip.Addr{}) || peer.Address.Zone() != "" {
			return fmt.Errorf("%s: %s has no address", what, peer.Name)
		}
	}
	return nil
}
