package api

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestANodeTakesOverAnIdentityAsAWhole(t *testing.T) {
	s := start(t)
	var seeded, taken []string
	var fail error
	s.api.Random = func(random []byte) error {
		seeded = append(seeded, string(random))
		return fail
	}
	s.api.Identity = func(node nodeconfig.Node, raw []byte) error {
		if again, err := nodeconfig.Parse(raw); err != nil || again.Cluster != node.Cluster {
			t.Errorf("%s, %v", raw, err)
		}
		taken = append(taken, node.Cluster)
		return nil
	}
	own := nodeconfig.Peer{Name: "worker-1", Address: netip.MustParseAddr("192.168.104.21")}
	document, err := json.Marshal(nodeconfig.Node{
		APIVersion: nodeconfig.APIVersion, Cluster: "copy", Name: own.Name, Role: nodeconfig.RoleWorker,
		Network: nodeconfig.Network{
			MAC: "52:55:55:00:00:01", Address: netip.MustParsePrefix("192.168.104.21/24"), Gateway: netip.MustParseAddr("192.168.104.2"),
			Nameservers: []netip.Addr{netip.MustParseAddr("192.168.104.2")}, MTU: 1500, Hosts: []nodeconfig.Peer{own},
		},
		Kubernetes: nodeconfig.Kubernetes{
			PodCIDR: netip.MustParsePrefix("10.244.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
			DNSAddress: netip.MustParseAddr("10.96.0.10"), DNSDomain: "cluster.local",
		},
		ControlPlanes: []nodeconfig.Peer{own}, Files: map[string][]byte{"large": make([]byte, maxRequest)},
	})
	if err != nil {
		t.Fatal(err)
	}
	post := func(random string, document json.RawMessage) int {
		body, err := json.Marshal(nodeapi.IdentityRequest{Random: []byte(random), Document: document})
		if err != nil {
			t.Fatal(err)
		}
		code, text := s.do("POST", nodeapi.PathIdentity, string(body))
		t.Log(text)
		return code
	}
	random := strings.Repeat("r", nodeapi.RandomBytes)
	for name, code := range map[string]int{
		"too few random bytes": post(random[1:], document),
		"no document":          post(random, json.RawMessage(`{"cluster":"copy"}`)),
		"unknown keys":         post(random, json.RawMessage(strings.Replace(string(document), `"cluster"`, `"other":1,"cluster"`, 1))),
	} {
		if code != 400 || len(seeded)+len(taken) > 0 {
			t.Errorf("%s: %d, %d seeds, took %q", name, code, len(seeded), taken)
		}
	}
	fail = errors.New("no device")
	if code := post(random, document); code != 500 || len(taken) > 0 {
		t.Errorf("without a generator: %d, took %q", code, taken)
	}
	fail = nil
	if code := post(random, nil); code != 204 || len(taken) > 0 || seeded[len(seeded)-1] != random {
		t.Errorf("random bytes alone: %d, took %q", code, taken)
	}
	if code := post(random, document); code != 204 || len(taken) != 1 || taken[0] != "copy" {
		t.Errorf("%d, took %q", code, taken)
	}
}
