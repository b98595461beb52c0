package network

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
)

// conflistName sorts before other files that a user might add.
const conflistName = "10-skiff.conflist"

// ipamDir records which pod has which address. It does not survive a restart, just
// as the pods' links do not, so no address stays assigned to a pod that is gone.
const ipamDir = "/run/cni-ipam-state"

// conflist returns the CNI network configuration list
// (https://www.cni.dev/docs/spec/#section-1-network-configuration-format) for
// pods with addresses of the range pods.
func conflist(pods netip.Prefix, mtu int) ([]byte, error) {
	type object = map[string]any
	list := object{
		"cniVersion": "1.0.0",
		"name":       "skiff",
		"plugins": []object{
			{
				"type":   "ptp",
				"mtu":    mtu,
				"ipMasq": false,
				"ipam": object{
					"type":    "host-local",
					"dataDir": ipamDir,
					"ranges":  [][]object{{{"subnet": pods.String()}}},
					"routes":  []object{{"dst": "0.0.0.0/0"}},
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
