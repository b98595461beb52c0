// Package servertest makes what a control plane needs to run natively, for
// tests and measurements: a node document and certificates in a directory of
// their own.
package servertest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Cluster and Name are those of the document that Write makes.
const (
	Cluster = "native"
	Name    = "control-plane-1"
)

// Write makes dir/node.json, dir/pki as a control plane at address is handed
// them, and dir/admin.crt and dir/admin.key of a cluster administrator.
func Write(dir string, address netip.Addr) (nodeconfig.Node, error) {
	peer := nodeconfig.Peer{Name: Name, Address: address}
	node := nodeconfig.Node{
		APIVersion: nodeconfig.APIVersion, Cluster: Cluster, Name: Name, Role: nodeconfig.RoleControlPlane,
		Network: nodeconfig.Network{Address: netip.PrefixFrom(address, 24), Hosts: []nodeconfig.Peer{peer}},
		Kubernetes: nodeconfig.Kubernetes{
			PodCIDR: netip.MustParsePrefix("10.244.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
			DNSAddress: netip.MustParseAddr("10.96.0.10"), DNSDomain: "cluster.local",
		},
		ControlPlanes: []nodeconfig.Peer{peer},
		Etcd:          &nodeconfig.Etcd{Members: []nodeconfig.Peer{peer}},
		Written:       time.Now(),
	}
	files, host, err := certificates(node)
	if err != nil {
		return node, err
	}
	for path, content := range files {
		if err := write(filepath.Join(dir, "pki", path), content); err != nil {
			return node, err
		}
	}
	for _, name := range []string{"admin.crt", "admin.key"} {
		if err := write(filepath.Join(dir, name), host[name]); err != nil {
			return node, err
		}
	}
	document, err := json.Marshal(node)
	if err != nil {
		return node, fmt.Errorf("encode the node document: %w", err)
	}
	return node, write(filepath.Join(dir, "node.json"), document)
}

func certificates(node nodeconfig.Node) (files, host pki.Files, err error) {
	now := time.Now()
	authorities, err := pki.Authorities(now)
	if err != nil {
		return nil, nil, err
	}
	files, err = pki.ControlPlane(authorities, pki.Node{
		Cluster: node.Cluster, Name: node.Name, Address: node.Network.Address.Addr(),
		ServiceAddress: node.Kubernetes.ServiceCIDR.Addr().Next(), Domain: node.Kubernetes.DNSDomain,
	}, now)
	if err != nil {
		return nil, nil, err
	}
	host, err = pki.Host(authorities, now)
	return files, host, err
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}
