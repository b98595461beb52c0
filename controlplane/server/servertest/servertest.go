// Package servertest creates what a control plane needs to run natively, for tests and
// measurements: a node document and certificates in a directory of their own.
package servertest

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Cluster and Name are those in the document that Write creates.
const (
	Cluster = "native"
	Name    = "control-plane-1"
)

// Write creates the files of a control plane at address in dir/node.json and dir/pki,
// those of a cluster administrator in dir/admin.crt and dir/admin.key, and the
// host's in dir/authorities.
func Write(dir string, address netip.Addr) (nodeconfig.Node, error) {
	return WriteAt(dir, time.Now(), address)
}

// WriteAt is like Write with certificates issued at now.
func WriteAt(dir string, now time.Time, address netip.Addr) (nodeconfig.Node, error) {
	nodes, err := writeCluster(dir, now, func(string) string { return dir }, address)
	if err != nil {
		return nodeconfig.Node{}, err
	}
	return nodes[0], nil
}

// WriteCluster is like Write for one control plane at each address, the first of
// which forms a cluster that the others join. It creates dir/NAME/node.json and
// dir/NAME/pki for each, and the other files in dir.
func WriteCluster(dir string, addresses ...netip.Addr) ([]nodeconfig.Node, error) {
	return writeCluster(dir, time.Now(), func(name string) string { return filepath.Join(dir, name) }, addresses...)
}

func writeCluster(dir string, now time.Time, home func(name string) string, addresses ...netip.Addr) ([]nodeconfig.Node, error) {
	authorities, err := pki.Authorities(now)
	if err != nil {
		return nil, err
	}
	if err := writeAll(filepath.Join(dir, "authorities"), authorities); err != nil {
		return nil, err
	}
	if err := RenewAdmin(dir, now); err != nil {
		return nil, err
	}
	nodes := documents(addresses, now)
	for _, node := range nodes {
		if err := Renew(dir, home(node.Name), node, now); err != nil {
			return nil, err
		}
		document, err := json.Marshal(node)
		if err != nil {
			return nil, fmt.Errorf("encode the node document: %w", err)
		}
		if err := write(filepath.Join(home(node.Name), "node.json"), document); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// RenewAdmin issues the administrator's certificate at now with dir/authorities.
func RenewAdmin(dir string, now time.Time) error {
	authorities, err := Authorities(dir)
	if err != nil {
		return err
	}
	host, err := pki.Host(authorities, now)
	if err != nil {
		return err
	}
	return writeAll(dir, pki.Files{"admin.crt": host["admin.crt"], "admin.key": host["admin.key"]})
}

// Renew issues home/pki of a control plane at now with dir/authorities. It replaces
// each file atomically.
func Renew(dir, home string, node nodeconfig.Node, now time.Time) error {
	authorities, err := Authorities(dir)
	if err != nil {
		return err
	}
	files, err := pki.ControlPlane(authorities, pki.Node{
		Cluster: node.Cluster, Name: node.Name, Address: node.Network.Address.Addr(),
		ServiceAddress: node.Kubernetes.ServiceCIDR.Addr().Next(), Domain: node.Kubernetes.DNSDomain,
	}, now)
	if err != nil {
		return err
	}
	return writeAll(filepath.Join(home, "pki"), files)
}

// Authorities reads dir/authorities.
func Authorities(dir string) (pki.Files, error) {
	files := pki.Files{}
	root := os.DirFS(filepath.Join(dir, "authorities"))
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[path], err = fs.ReadFile(root, path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the authorities: %w", err)
	}
	return files, nil
}

func writeAll(dir string, files pki.Files) error {
	for path, content := range files {
		if err := write(filepath.Join(dir, filepath.FromSlash(path)), content); err != nil {
			return err
		}
	}
	return nil
}

// documents returns the node documents of a new cluster as the host writes them.
func documents(addresses []netip.Addr, now time.Time) []nodeconfig.Node {
	var peers []nodeconfig.Peer
	for i, address := range addresses {
		peers = append(peers, nodeconfig.Peer{Name: fmt.Sprintf("control-plane-%d", i+1), Address: address})
	}
	var nodes []nodeconfig.Node
	for i, p := range peers {
		node := nodeconfig.Node{
			APIVersion: nodeconfig.APIVersion, Cluster: Cluster, Name: p.Name, Role: nodeconfig.RoleControlPlane,
			Network: nodeconfig.Network{
				MAC: "52:55:55:00:00:01", Address: netip.PrefixFrom(p.Address, 24), Gateway: netip.PrefixFrom(p.Address, 24).Masked().Addr().Next(), Hosts: peers,
			},
			Kubernetes: nodeconfig.Kubernetes{
				PodCIDR: netip.MustParsePrefix("10.244.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
				DNSAddress: netip.MustParseAddr("10.96.0.10"), DNSDomain: "cluster.local",
			},
			ControlPlanes: peers,
			Etcd:          &nodeconfig.Etcd{Members: peers, Join: i > 0},
			Written:       now,
		}
		if i == 0 {
			node.Etcd.Members = peers[:1]
		}
		nodes = append(nodes, node)
	}
	return nodes
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	if err := atomicfile.Write(path, content, 0o600); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}
