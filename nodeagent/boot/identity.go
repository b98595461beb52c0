package boot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// writeIdentity writes the document, its files, and the files in /etc that follow
// from it.
func writeIdentity(node *nodeconfig.Node, raw []byte) error {
	if err := atomicfile.Write(nodeconfig.Path, bytes.TrimRight(raw, "\x00\n"), 0o600); err != nil {
		return err
	}
	for name, content := range node.Files {
		path := filepath.Join(nodeconfig.PKIDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := atomicfile.Write(path, content, 0o600); err != nil {
			return err
		}
	}
	for name, content := range etcFiles(node) {
		path := filepath.Join("/etc", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := atomicfile.Write(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return takeOver(node.Network, node.Host)
}

// takeOver writes the files that follow from the host's settings.
func takeOver(network nodeconfig.Network, host nodeconfig.Host) error {
	return atomicfile.Write(nodeconfig.ResolvConf, []byte(resolvConf(network.Nameservers, host.Search)), 0o644)
}

// etcFiles returns the files in /etc that differ from node to node.
func etcFiles(node *nodeconfig.Node) map[string]string {
	return map[string]string{
		"hostname":   node.Name + "\n",
		"machine-id": machineID(node.Cluster, node.Name) + "\n",
		"hosts":      hosts(node),
		// For every registry without a directory of its own.
		"containerd/certs.d/_default/hosts.toml": registryHosts(node.Network.Gateway),
	}
}

// registryHosts makes containerd pull through the host's registry, to which it sends
// the name of the image's own registry. If the host's registry does not answer or
// does not have the image, containerd asks the image's own registry
// (https://github.com/containerd/containerd/blob/main/docs/hosts.md).
func registryHosts(gateway netip.Addr) string {
	return fmt.Sprintf(`[host."http://%s"]
  capabilities = ["pull", "resolve"]
  dial_timeout = "3s"
`, netip.AddrPortFrom(gateway, nodeconfig.PortRegistry))
}

// machineID returns an ID that a node keeps across boots and that no other node has
// (machine-id(5)).
func machineID(cluster, name string) string {
	sum := sha256.Sum256([]byte("skiff machine-id\x00" + cluster + "\x00" + name))
	return hex.EncodeToString(sum[:16])
}

func hosts(node *nodeconfig.Node) string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	own := false
	for _, peer := range node.Network.Hosts {
		own = own || peer.Name == node.Name
		fmt.Fprintf(&b, "%s %s\n", peer.Address, peer.Name)
	}
	if !own {
		fmt.Fprintf(&b, "%s %s\n", node.Network.Address.Addr(), node.Name)
	}
	return b.String()
}

// resolvConf returns the content of resolv.conf(5).
func resolvConf(servers []netip.Addr, search []string) string {
	var b strings.Builder
	for _, server := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	return b.String()
}
