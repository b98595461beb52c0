package network

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
)

// conflistName sorts before what a user might add beside it.
const conflistName = "10-skiff.conflist"

// ipamDir holds which pod has which address. It is gone after a boot, as the
// pods' links are, so that no address stays taken by a pod that is no more.
const ipamDir = "/run/cni-ipam-state"

// conflist is the CNI network configuration list
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

// same reports whether the file holds exactly content.
func same(path string, content []byte) bool {
	got, err := os.ReadFile(path)
	return err == nil && bytes.Equal(got, content)
}
