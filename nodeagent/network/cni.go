package network

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// conflistName sorts before other files that a user might add.
const conflistName = "10-skiff.conflist"

// ipamDir records which pod has which address. It does not survive a restart, just
// as the pods' links do not, so no address stays assigned to a pod that is gone.
const ipamDir = "/run/cni-ipam-state"

// conflist returns the CNI network configuration list
// (https://www.cni.dev/docs/spec/#section-1-network-configuration-format) for
// pods of a node, which has their ranges in own.
func conflist(node nodeconfig.Node, own place) ([]byte, error) {
	type object = map[string]any
	ranges, routes := [][]object{{{"subnet": own.pods.String()}}}, []object{{"dst": "0.0.0.0/0"}}
	if node.Dual() {
		ranges = append(ranges, []object{{"subnet": own.pods6.String()}})
		// Without a default route, programs know at once that IPv6 leads to the cluster
		// only, and prefer IPv4 for everything else.
		for _, inside := range []netip.Prefix{node.Network.Address6.Masked(), node.Kubernetes.PodCIDR6, node.Kubernetes.ServiceCIDR6} {
			routes = append(routes, object{"dst": inside.String()})
		}
	}
	list := object{
		"cniVersion": "1.0.0",
		"name":       "skiff",
		"plugins": []object{
			{
				"type":   "ptp",
				"mtu":    node.Network.MTU,
				"ipMasq": false,
				"ipam": object{
					"type":    "host-local",
					"dataDir": ipamDir,
					"ranges":  ranges,
					"routes":  routes,
				},
			},
			{
				"type":         "portmap",
				"backend":      "nftables",
				"snat":         true,
				"capabilities": object{"portMappings": true},
			},
		},
	}
	content, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the CNI configuration: %w", err)
	}
	return append(content, '\n'), nil
}

// same reports whether the file has exactly this content.
func same(path string, content []byte) bool {
	got, err := os.ReadFile(path)
	return err == nil && bytes.Equal(got, content)
}
