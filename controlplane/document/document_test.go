package document

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/server/servertest"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func text(t testing.TB, edit func(*nodeconfig.Node)) string {
	t.Helper()
	n, err := servertest.Write(t.TempDir(), netip.MustParseAddr("192.168.104.11"))
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(&n)
	}
	b, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNodeDocumentIsRefusedInOneLine(t *testing.T) {
	for _, tt := range []struct {
		name, document, want string
	}{
		{"fine", text(t, nil), ""},
		{"padded as on its disk", text(t, nil) + "\n\n\n", ""},
		{"not JSON", "hello", "not a node document"},
		{"empty", "", "not a node document"},
		{"of another version", text(t, func(n *nodeconfig.Node) { n.APIVersion = "skiff.dev/node/v9" }), "skiff.dev/node/v9"},
		{"a worker's", text(t, func(n *nodeconfig.Node) { n.Role = nodeconfig.RoleWorker }), "worker"},
		{"no name", text(t, func(n *nodeconfig.Node) { n.Name = "" }), "name"},
		{"no address", text(t, func(n *nodeconfig.Node) { n.Network.Address = netip.Prefix{} }), "network.address"},
		{"no pod range", text(t, func(n *nodeconfig.Node) { n.Kubernetes.PodCIDR = netip.Prefix{} }), "podCIDR"},
		{"ranges overlap", text(t, func(n *nodeconfig.Node) { n.Kubernetes.PodCIDR = netip.MustParsePrefix("10.0.0.0/8") }), "overlap"},
		{"DNS elsewhere", text(t, func(n *nodeconfig.Node) { n.Kubernetes.DNSAddress = netip.MustParseAddr("1.1.1.1") }), "dnsAddress"},
		{"no etcd", text(t, func(n *nodeconfig.Node) { n.Etcd = nil }), "etcd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decode(strings.NewReader(tt.document))
			if tt.want == "" && err != nil {
				t.Fatal(err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(text(f, nil))
	f.Fuzz(func(t *testing.T, content string) {
		if n, err := decode(strings.NewReader(content)); err == nil {
			if n.Etcd == nil || !n.Network.Address.IsValid() || n.Name == "" {
				t.Fatalf("accepted %q", content)
			}
		}
	})
}
