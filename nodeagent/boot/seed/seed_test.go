package seed

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// document is a good one of a control plane, changed by change.
func document(t testing.TB, change func(*nodeconfig.Node)) []byte {
	t.Helper()
	own := nodeconfig.Peer{Name: "control-plane-1", Address: netip.MustParseAddr("192.168.104.11")}
	node := &nodeconfig.Node{
		APIVersion: nodeconfig.APIVersion, Cluster: "dev", Name: own.Name, Role: nodeconfig.RoleControlPlane,
		Network: nodeconfig.Network{
			MAC: "52:55:55:00:00:01", Address: netip.MustParsePrefix("192.168.104.11/24"), Gateway: netip.MustParseAddr("192.168.104.2"),
			Nameservers: []netip.Addr{netip.MustParseAddr("192.168.104.2")}, MTU: 1500, Hosts: []nodeconfig.Peer{own},
		},
		ControlPlanes: []nodeconfig.Peer{own}, Etcd: &nodeconfig.Etcd{Members: []nodeconfig.Peer{own}},
		Files: map[string][]byte{"etcd/ca.crt": []byte("x")},
	}
	change(node)
	text, err := json.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func unchanged(*nodeconfig.Node) {}

func TestPaddedDocumentIsRead(t *testing.T) {
	for name, padding := range map[string]string{"none": "", "newlines": strings.Repeat("\n", 2048), "zeros": strings.Repeat("\x00", 512)} {
		node, err := Decode(append(document(t, unchanged), padding...))
		if err != nil || node.Name != "control-plane-1" || string(node.Files["etcd/ca.crt"]) != "x" {
			t.Errorf("%s: %+v, %v", name, node, err)
		}
	}
}

func TestBadDocumentIsRefusedWithItsReason(t *testing.T) {
	good := string(document(t, unchanged))
	for name, test := range map[string]struct {
		text, want string
	}{
		"empty":       {"", "unexpected end"},
		"cut":         {good[:len(good)-5], "unexpected"},
		"other shape": {strings.Replace(good, nodeconfig.APIVersion, "skiff.dev/node/v9", 1), "apiVersion"},
		"unknown key": {strings.Replace(good, `"cluster"`, `"clutser"`, 1), "clutser"},
		"two":         {good + good, "invalid character"},
		"too large":   {good + strings.Repeat("\n", MaxBytes), "more than"},
		"long name":   {string(document(t, func(n *nodeconfig.Node) { n.Name = strings.Repeat("a", 64) })), "no DNS label"},
		"name":        {string(document(t, func(n *nodeconfig.Node) { n.Name = "Node_1" })), "no DNS label"},
		"cluster":     {string(document(t, func(n *nodeconfig.Node) { n.Cluster = "-a" })), "no DNS label"},
		"role":        {string(document(t, func(n *nodeconfig.Node) { n.Role = "boss" })), "role"},
		"no etcd":     {string(document(t, func(n *nodeconfig.Node) { n.Etcd = nil })), "without etcd"},
		"worker etcd": {string(document(t, func(n *nodeconfig.Node) { n.Role = nodeconfig.RoleWorker })), "with etcd"},
		"mac":         {string(document(t, func(n *nodeconfig.Node) { n.Network.MAC = "52:55" })), "Ethernet"},
		"gateway":     {string(document(t, func(n *nodeconfig.Node) { n.Network.Gateway = netip.MustParseAddr("10.0.0.1") })), "gateway"},
		"address":     {string(document(t, func(n *nodeconfig.Node) { n.Network.Address = netip.Prefix{} })), "address"},
		"mtu":         {string(document(t, func(n *nodeconfig.Node) { n.Network.MTU = 100 })), "mtu"},
		"host":        {string(document(t, func(n *nodeconfig.Node) { n.Network.Hosts[0].Name = "a b" })), "no DNS name"},
		"no planes":   {string(document(t, func(n *nodeconfig.Node) { n.ControlPlanes = nil })), "no control planes"},
		"escape":      {string(document(t, func(n *nodeconfig.Node) { n.Files = map[string][]byte{"../x": nil} })), "not a path"},
		"absolute":    {string(document(t, func(n *nodeconfig.Node) { n.Files = map[string][]byte{"/etc/x": nil} })), "not a path"},
	} {
		_, err := Decode([]byte(test.text))
		if !errors.Is(err, ErrDocument) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(document(f, unchanged))
	f.Add([]byte(`{"apiVersion":"skiff.dev/node/v1"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		node, err := Decode(raw)
		if err != nil {
			if !errors.Is(err, ErrDocument) {
				t.Errorf("%v is not ErrDocument", err)
			}
			return
		}
		text, err := json.Marshal(node)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(text, second) {
			t.Errorf("read again it is %s, not %s", second, text)
		}
	})
}
