package nodeconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// document returns a valid document of a control plane, changed by change.
func document(t testing.TB, change func(*Node)) string {
	t.Helper()
	own := Peer{Name: "control-plane-1", Address: netip.MustParseAddr("192.168.104.11")}
	node := &Node{
		APIVersion: APIVersion, Cluster: "dev", Name: own.Name, Role: RoleControlPlane,
		Network: Network{
			MAC: "52:55:55:00:00:01", Address: netip.MustParsePrefix("192.168.104.11/24"), Gateway: netip.MustParseAddr("192.168.104.2"),
			Nameservers: []netip.Addr{netip.MustParseAddr("192.168.104.2")}, MTU: 1500, Hosts: []Peer{own},
		},
		Kubernetes: Kubernetes{
			PodCIDR: netip.MustParsePrefix("10.244.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
			DNSAddress: netip.MustParseAddr("10.96.0.10"), DNSDomain: "cluster.local",
		},
		ControlPlanes: []Peer{own}, Etcd: &Etcd{Members: []Peer{own}},
		Files: map[string][]byte{"etcd/ca.crt": []byte("x")},
	}
	change(node)
	text, err := json.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func unchanged(*Node) {}

// ipv6 adds the addresses of a cluster with both families.
func ipv6(n *Node) {
	n.Network.Address6 = netip.MustParsePrefix("fd00::c0a8:680b/64")
	n.Kubernetes.PodCIDR6 = netip.MustParsePrefix("fd00:0:0:100::/56")
	n.Kubernetes.ServiceCIDR6 = netip.MustParsePrefix("fd00:0:0:200::/112")
}

func TestIPv6IsOptional(t *testing.T) {
	if text := document(t, unchanged); strings.Contains(text, "6\":\"") {
		t.Errorf("a document without IPv6 is %s", text)
	}
	for _, change := range []func(*Node){unchanged, ipv6} {
		if _, err := Parse([]byte(document(t, change))); err != nil {
			t.Error(err)
		}
	}
}

func TestParseAcceptsPadding(t *testing.T) {
	for name, padding := range map[string]string{"none": "", "newlines": strings.Repeat("\n", 2048), "zeros": strings.Repeat("\x00", 512)} {
		node, err := Parse([]byte(document(t, unchanged) + padding))
		if err != nil || node.Name != "control-plane-1" || string(node.Files["etcd/ca.crt"]) != "x" {
			t.Errorf("%s: %+v, %v", name, node, err)
		}
	}
}

func TestParseRefusesABadDocumentWithTheReason(t *testing.T) {
	good := document(t, unchanged)
	changed := func(change func(*Node)) string { return document(t, change) }
	for name, test := range map[string]struct {
		text, want string
	}{
		"empty":         {"", "unexpected end"},
		"not JSON":      {"hello", "invalid character"},
		"truncated":     {good[:len(good)-5], "unexpected"},
		"other version": {strings.Replace(good, APIVersion, "skiff.dev/node/v9", 1), "skiff.dev/node/v9"},
		"unknown key":   {strings.Replace(good, `"cluster"`, `"clutser"`, 1), "clutser"},
		"two":           {good + good, "invalid character"},
		"too large":     {good + strings.Repeat("\n", MaxBytes), "larger than"},
		"long name":     {changed(func(n *Node) { n.Name = strings.Repeat("a", 64) }), "not a DNS label"},
		"bad name":      {changed(func(n *Node) { n.Name = "Node_1" }), "not a DNS label"},
		"no name":       {changed(func(n *Node) { n.Name = "" }), "name"},
		"bad cluster":   {changed(func(n *Node) { n.Cluster = "-a" }), "not a DNS label"},
		"role":          {changed(func(n *Node) { n.Role = "boss" }), "role"},
		"no etcd":       {changed(func(n *Node) { n.Etcd = nil }), "needs etcd"},
		"no members":    {changed(func(n *Node) { n.Etcd.Members = nil }), "needs etcd"},
		"worker etcd":   {changed(func(n *Node) { n.Role = RoleWorker }), "must not have etcd"},
		"mac":           {changed(func(n *Node) { n.Network.MAC = "52:55" }), "Ethernet"},
		"gateway":       {changed(func(n *Node) { n.Network.Gateway = netip.MustParseAddr("10.0.0.1") }), "gateway"},
		"address":       {changed(func(n *Node) { n.Network.Address = netip.Prefix{} }), "network: address"},
		"mtu":           {changed(func(n *Node) { n.Network.MTU = 100 }), "mtu"},
		"host":          {changed(func(n *Node) { n.Network.Hosts[0].Name = "a b" }), "not a DNS name"},
		"pods":          {changed(func(n *Node) { n.Kubernetes.PodCIDR = netip.Prefix{} }), "podCIDR"},
		"services":      {changed(func(n *Node) { n.Kubernetes.ServiceCIDR = netip.Prefix{} }), "serviceCIDR"},
		"overlap":       {changed(func(n *Node) { n.Kubernetes.PodCIDR = netip.MustParsePrefix("10.0.0.0/8") }), "overlap"},
		"DNS elsewhere": {changed(func(n *Node) { n.Kubernetes.DNSAddress = netip.MustParseAddr("1.1.1.1") }), "dnsAddress"},
		"half of IPv6":  {changed(func(n *Node) { n.Kubernetes.PodCIDR6 = netip.MustParsePrefix("fd00:1::/56") }), "or all missing"},
		"no IPv6": {changed(func(n *Node) {
			ipv6(n)
			n.Kubernetes.ServiceCIDR6 = netip.MustParsePrefix("10.0.0.0/16")
		}), "must be IPv6"},
		"IPv6 overlap": {changed(func(n *Node) {
			ipv6(n)
			n.Kubernetes.ServiceCIDR6 = n.Kubernetes.PodCIDR6
		}), "overlap"},
		"another's IPv6": {changed(func(n *Node) {
			ipv6(n)
			n.Network.Address6 = netip.MustParsePrefix("fd00::1/64")
		}), "address6"},
		"search":      {changed(func(n *Node) { n.Host.Search = []string{"a.test\nnameserver 1.1.1.1"} }), "host: search domain"},
		"proxy":       {changed(func(n *Node) { n.Host.Proxy.HTTP = "http://a\nPATH=/x" }), "host: proxy setting"},
		"authorities": {changed(func(n *Node) { n.Host.Authorities = "x" }), "host: authorities: it contains no certificate"},
		"DNS domain":  {changed(func(n *Node) { n.Kubernetes.DNSDomain = "" }), "dnsDomain"},
		"no planes":   {changed(func(n *Node) { n.ControlPlanes = nil }), "controlPlanes"},
		"escape":      {changed(func(n *Node) { n.Files = map[string][]byte{"../x": nil} }), "not a path"},
		"absolute":    {changed(func(n *Node) { n.Files = map[string][]byte{"/etc/x": nil} }), "not a path"},
	} {
		_, err := Parse([]byte(test.text))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q in one line", name, err, test.want)
		}
	}
}

func TestFaultsOfProxiesShowNoPasswords(t *testing.T) {
	for _, value := range []string{"http://user:secret\n@proxy.example", "http://user:sécret@proxy.example"} {
		err := Host{Proxy: Proxy{HTTPS: value}}.Validate()
		if err == nil || strings.Contains(err.Error(), "cret") || !strings.Contains(err.Error(), `"https"`) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestReadNamesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node.json")
	if _, err := Read(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if err := os.WriteFile(file, []byte(document(t, unchanged)), 0o600); err != nil {
		t.Fatal(err)
	}
	if node, err := Read(file); err != nil || node.Cluster != "dev" {
		t.Errorf("%+v, %v", node, err)
	}
	if err := os.WriteFile(file, bytes.Repeat([]byte(" "), MaxBytes+10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "larger") {
		t.Errorf("too large: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(document(f, unchanged)))
	f.Add([]byte(`{"apiVersion":"skiff.dev/node/v1"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		node, err := Parse(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%v is not ErrInvalid", err)
			}
			return
		}
		if node.Role == RoleControlPlane && node.Etcd == nil || !node.Network.Address.IsValid() || node.Name == "" {
			t.Errorf("accepted %q", raw)
		}
		text, err := json.Marshal(node)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(text, second) {
			t.Errorf("read again it is %s, not %s", second, text)
		}
	})
}
