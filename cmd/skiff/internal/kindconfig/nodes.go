package kindconfig

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// marks are the labels and taints of one of kind's nodes.
type marks struct {
	controlPlane bool
	labels       map[string]string
	taints       []string
}

// label adds labels to nodes, except those that Skiff sets.
func (c *converter) label(key string, labels map[string]string, nodes ...*marks) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name == corev1.LabelTopologyZone || name == corev1.LabelTopologyRegion {
			c.remark(Cannot, key, "%s: Skiff sets it; the setting zones spreads nodes over zones", name)
			continue
		}
		for _, m := range nodes {
			set(&m.labels, name, labels[name])
		}
	}
}

// nodes counts the nodes and converts what belongs to each.
func (c *converter) nodes(nodes []v1alpha4.Node) {
	if len(nodes) == 0 {
		nodes = []v1alpha4.Node{{Role: v1alpha4.ControlPlaneRole}}
	}
	c.spec.ControlPlanes, c.spec.Workers = 0, 0
	mounts := map[string]int{}
	for i, n := range nodes {
		m := &marks{controlPlane: n.Role == v1alpha4.ControlPlaneRole || n.Role == ""}
		c.marks = append(c.marks, m)
		c.label(fmt.Sprintf("nodes[%d].labels", i), n.Labels, m)
		name := ""
		if m.controlPlane {
			c.spec.ControlPlanes++
			name = fmt.Sprintf("%s-%d", nodeconfig.GroupControlPlanes, c.spec.ControlPlanes)
		} else {
			c.spec.Workers++
			name = fmt.Sprintf("%s-%d", nodeconfig.GroupWorkers, c.spec.Workers)
		}
		key := fmt.Sprintf("nodes[%d]", i)
		if n.Image != "" {
			c.remark(Ignored, key+".image", "%s: Skiff has its own node image; the setting kubernetes.version chooses the version of Kubernetes", n.Image)
		}
		for j, p := range n.ExtraPortMappings {
			c.port(fmt.Sprintf("%s.extraPortMappings[%d]", key, j), name, p)
		}
		for j, m := range n.ExtraMounts {
			c.mount(fmt.Sprintf("%s.extraMounts[%d]", key, j), m, mounts)
		}
	}
	for _, folder := range c.spec.Mounts {
		if mounts[folder] < len(nodes) {
			c.remark(Mapped, "extraMounts", "%s: all nodes have the folder, not only %d of %d", folder, mounts[folder], len(nodes))
		}
	}
	c.remark(Mapped, "nodes", "controlPlanes: %d, workers: %d", c.spec.ControlPlanes, c.spec.Workers)
}

func (c *converter) port(key, node string, p v1alpha4.PortMapping) {
	protocol := strings.ToLower(string(p.Protocol))
	switch {
	case protocol == "sctp":
		c.remark(Cannot, key, "SCTP: use TCP or UDP")
		return
	case p.HostPort < 1:
		c.remark(Cannot, key, "hostPort is %d: choose a port", p.HostPort)
		return
	}
	address := ""
	switch listen, err := netip.ParseAddr(p.ListenAddress); {
	case p.ListenAddress == "":
	case err != nil:
		c.remark(Cannot, key, "listenAddress %q is not an IP address", p.ListenAddress)
		return
	case listen.Is6():
		address = "[" + p.ListenAddress + "]:"
	default:
		address = p.ListenAddress + ":"
	}
	text := fmt.Sprintf("%s%d:node/%s:%d", address, p.HostPort, node, p.ContainerPort)
	if protocol == cluster.ProtocolUDP {
		text += "/udp"
	}
	c.spec.Ports = append(c.spec.Ports, text)
	only := ""
	if address == "" {
		only = ", on 127.0.0.1 only: set listenAddress for other addresses"
	}
	c.remark(Mapped, key, "ports: %s%s", text, only)
}

// mount converts a folder. As with kind, a relative path starts at the current directory. seen
// counts the nodes that have each folder.
func (c *converter) mount(key string, m v1alpha4.Mount, seen map[string]int) {
	host := m.HostPath
	if absolute, err := filepath.Abs(host); err == nil && host != "" {
		host = absolute
	}
	text := host + ":" + m.ContainerPath
	if m.Readonly {
		text += ":ro"
	}
	if m.Propagation != "" && m.Propagation != v1alpha4.MountPropagationNone {
		c.remark(Cannot, key+".propagation", "mounts are not propagated")
	}
	if m.SelinuxRelabel {
		c.remark(Ignored, key+".selinuxRelabel", "folders are not labelled")
	}
	if seen[text]++; seen[text] > 1 {
		return
	}
	if _, err := cluster.ParseFolder(text); err != nil {
		c.remark(Cannot, key, "%v", err)
		return
	}
	c.spec.Mounts = append(c.spec.Mounts, text)
	c.remark(Mapped, key, "mounts: %s", text)
}

// group gives nodes their labels and taints. Nodes of one role with the same ones form a
// group; the first group of a role is the one that always exists.
func (c *converter) group() {
	type kind struct {
		first  *marks
		labels map[string]string
		taints []string
		count  int
	}
	for _, role := range []string{nodeconfig.GroupControlPlanes, nodeconfig.GroupWorkers} {
		var kinds []kind
		for _, m := range c.marks {
			if m.controlPlane != (role == nodeconfig.GroupControlPlanes) {
				continue
			}
			i := slices.IndexFunc(kinds, func(k kind) bool { return maps.Equal(k.labels, m.labels) && slices.Equal(k.taints, m.taints) })
			if i < 0 {
				kinds = append(kinds, kind{first: m, labels: m.labels, taints: m.taints})
				i = len(kinds) - 1
			}
			kinds[i].count++
		}
		if len(kinds) == 0 {
			continue
		}
		if role == nodeconfig.GroupControlPlanes && len(kinds) > 1 {
			c.remark(Cannot, "nodes", "control planes with different labels or taints: all get those of the first")
			kinds = kinds[:1]
		}
		for i, k := range kinds {
			g := cluster.Group{Name: role, Labels: k.labels, Taints: k.taints}
			if i > 0 {
				g.Name, g.Count = fmt.Sprintf("%s%c", role, 'a'+i), k.count
				c.spec.Workers -= k.count
			}
			if i > 0 || len(k.labels)+len(k.taints) > 0 {
				c.spec.Nodes = append(c.spec.Nodes, g)
				c.remark(Mapped, "nodes", "labels and taints of the group %s", g.Name)
			}
		}
	}
}
