package boot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
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

// takeIdentity replaces the document of a running node by that of the same node of another
// cluster, and what follows from it. Its network cannot change.
func takeIdentity(node, other nodeconfig.Node, raw []byte) error {
	if err := sameNode(node, other); err != nil {
		return err
	}
	return writeIdentity(&other, raw)
}

// sameNode returns an error unless a running node can become the other one.
func sameNode(node, other nodeconfig.Node) error {
	if node.Name != other.Name || node.Role != other.Role {
		return fmt.Errorf("it is that of %s (%s), and this is %s (%s)", other.Name, other.Role, node.Name, node.Role)
	}
	if node.Network.MAC != other.Network.MAC || node.Network.Address != other.Network.Address || node.Network.Gateway != other.Network.Gateway {
		return errors.New("it has another network")
	}
	return nil
}

// takeOver writes the files that follow from the host's settings.
func takeOver(network nodeconfig.Network, host nodeconfig.Host) error {
	if err := os.MkdirAll(filepath.Dir(registryFile), 0o755); err != nil {
		return err
	}
	authorities := nodeconfig.AuthoritiesFile
	if host.Authorities == "" {
		authorities = ""
		if err := os.Remove(nodeconfig.AuthoritiesFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	} else if err := atomicfile.Write(nodeconfig.AuthoritiesFile, []byte(host.Authorities), 0o644); err != nil {
		return err
	}
	return errors.Join(
		atomicfile.Write(nodeconfig.ResolvConf, []byte(resolvConf(network.Nameservers, host.Search)), 0o644),
		atomicfile.Write(registryFile, []byte(registryHosts(network.Gateway, authorities)), 0o644),
		atomicfile.Write(nodeconfig.ProxyFile, []byte(lines(host.Proxy.Environment())), 0o600),
	)
}

func lines(list []string) string {
	text := ""
	for _, line := range list {
		text += line + "\n"
	}
	return text
}

// etcFiles returns the files in /etc that differ from node to node.
func etcFiles(node *nodeconfig.Node) map[string]string {
	files := map[string]string{
		"hostname":   node.Name + "\n",
		"machine-id": machineID(node.Cluster, node.Name) + "\n",
		"hosts":      hosts(node),
	}
	maps.Copy(files, runtimeFiles(node.Kubernetes.Runtimes))
	return files
}

// registryFile is for every registry without a directory of its own.
const registryFile = "/etc/containerd/certs.d/_default/hosts.toml"

// registryHosts makes containerd pull through the host's registry, to which it sends
// the name of the image's own registry. If the host's registry does not answer or
// does not have the image, containerd asks the image's own registry, whose certificate
// may be of one of the authorities in a file. containerd reads this at every pull
// (https://github.com/containerd/containerd/blob/main/docs/hosts.md).
func registryHosts(gateway netip.Addr, authorities string) string {
	own := ""
	if authorities != "" {
		own = fmt.Sprintf("ca = %q\n\n", authorities)
	}
	return own + fmt.Sprintf(`[host."http://%s"]
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
