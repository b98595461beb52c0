package etcd_test

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"

	"crypto/tls"
	"time"
)

func peer(name, address string) nodeconfig.Peer {
	return nodeconfig.Peer{Name: name, Address: netip.MustParseAddr(address)}
}

func settings() etcd.Settings {
	return etcd.Settings{
		Cluster: "demo", Name: "control-plane-1", Address: netip.MustParseAddr("192.168.104.11"),
		Members: []nodeconfig.Peer{peer("control-plane-1", "192.168.104.11")},
		Dir:     "/var/lib/skiff/etcd", PKIDir: "/run/skiff/pki",
	}
}

func TestConfigOfASoleMember(t *testing.T) {
	c, err := etcd.Config(settings())
	if err != nil {
		t.Fatal(err)
	}
	if c.InitialCluster != "control-plane-1=https://192.168.104.11:2380" || c.ClusterState != "new" || c.InitialClusterToken != "skiff-demo" {
		t.Errorf("cluster %q, state %q, token %q", c.InitialCluster, c.ClusterState, c.InitialClusterToken)
	}
	if got := c.AdvertiseClientUrls[0].String(); got != "https://192.168.104.11:2379" || len(c.ListenClientUrls)+len(c.ListenPeerUrls) > 0 {
		t.Errorf("serves clients at %s and listens at %v and %v", got, c.ListenClientUrls, c.ListenPeerUrls)
	}
	if peer := c.PeerTLSInfo; peer.CertFile != "/run/skiff/pki/etcd/peer.crt" || peer.TrustedCAFile != "/run/skiff/pki/etcd/ca.crt" || peer.MinVersion != tls.VersionTLS13 {
		t.Errorf("TLS to other members: %+v", peer)
	}
	if c.EnableGRPCGateway || c.QuotaBackendBytes == 0 || c.AutoCompactionRetention == "" {
		t.Errorf("gateway %v, quota %d, compaction %q", c.EnableGRPCGateway, c.QuotaBackendBytes, c.AutoCompactionRetention)
	}
}

func TestConfigOfOneOfThree(t *testing.T) {
	s := settings()
	s.Members = append(s.Members, peer("control-plane-2", "192.168.104.12"), peer("control-plane-3", "192.168.104.13"))
	c, err := etcd.Config(s)
	if err != nil {
		t.Fatal(err)
	}
	want := "control-plane-1=https://192.168.104.11:2380,control-plane-2=https://192.168.104.12:2380,control-plane-3=https://192.168.104.13:2380"
	if c.InitialCluster != want || c.ElectionMs != 1000 {
		t.Errorf("cluster %q, state %q, election %d ms", c.InitialCluster, c.ClusterState, c.ElectionMs)
	}
	s.Emulated = true
	slow, err := etcd.Config(s)
	if err != nil {
		t.Fatal(err)
	}
	if slow.ElectionMs < 4*c.ElectionMs || slow.ElectionMs < 5*slow.TickMs {
		t.Errorf("emulated members elect after %d ms, with a tick of %d", slow.ElectionMs, slow.TickMs)
	}
}

func TestConfigRefuses(t *testing.T) {
	for name, edit := range map[string]func(*etcd.Settings){
		"no name":                   func(s *etcd.Settings) { s.Name = "" },
		"no cluster":                func(s *etcd.Settings) { s.Cluster = "" },
		"no address":                func(s *etcd.Settings) { s.Address = netip.Addr{} },
		"no members":                func(s *etcd.Settings) { s.Members = nil },
		"not among the members":     func(s *etcd.Settings) { s.Name = "control-plane-9" },
		"another address in list":   func(s *etcd.Settings) { s.Address = netip.MustParseAddr("192.168.104.99") },
		"no directory for its data": func(s *etcd.Settings) { s.Dir = "" },
	} {
		s := settings()
		edit(&s)
		if _, err := etcd.Config(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// running starts a member on loopback with certificates of its own.
func running(t *testing.T, dir string) (*etcd.Member, etcd.Settings) {
	t.Helper()
	address := netip.MustParseAddr("127.0.0.1")
	s := etcd.Settings{
		Cluster: "demo", Name: "control-plane-1", Address: address, Members: []nodeconfig.Peer{peer("control-plane-1", "127.0.0.1")},
		Dir: filepath.Join(dir, "etcd"), PKIDir: filepath.Join(dir, "pki"), ClientPort: 32379, PeerPort: 32380,
	}
	if _, err := os.Stat(s.PKIDir); err != nil {
		writePKI(t, s.PKIDir, address)
	}
	m, err := etcd.Start(t.Context(), s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return m, s
}

func writePKI(t *testing.T, dir string, address netip.Addr) {
	t.Helper()
	now := time.Now()
	authorities, err := pki.Authorities(now)
	if err != nil {
		t.Fatal(err)
	}
	files, err := pki.ControlPlane(authorities, pki.Node{Cluster: "demo", Name: "control-plane-1", Address: address, ServiceAddress: address, Domain: "cluster.local"}, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMemberKeepsItsDataAndRefusesStrangers(t *testing.T) {
	dir := t.TempDir()
	m, s := running(t, dir)
	if err := m.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.NewClient().Put(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(s.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("data directory: %v, %v", info.Mode(), err)
	}
	for _, address := range []string{"127.0.0.1:32379", "127.0.0.1:32380"} {
		c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}) //nolint:gosec // the server is to refuse
		if err == nil {
			// With TLS 1.3 a client learns at its first read that it is refused.
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("%s let a client without certificate in: %v", address, err)
		}
	}
	m.Stop()

	again, _ := running(t, dir)
	defer again.Stop()
	if err := again.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := again.NewClient().Get(t.Context(), "k")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v" {
		t.Fatalf("after a restart: %v, %v", got, err)
	}
}

func TestMemberKnowsHowFarItIsCompacted(t *testing.T) {
	m, _ := running(t, t.TempDir())
	defer m.Stop()
	if err := m.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.CompactRevision(); got != 0 {
		t.Errorf("a new member is compacted up to revision %d", got)
	}
	client := m.NewClient()
	var last int64
	for range 3 {
		put, err := client.Put(t.Context(), "k", "v")
		if err != nil {
			t.Fatal(err)
		}
		last = put.Header.Revision
	}
	if _, err := client.Compact(t.Context(), last-1); err != nil {
		t.Fatal(err)
	}
	if got := m.CompactRevision(); got != last-1 {
		t.Errorf("compacted up to revision %d, want %d", got, last-1)
	}
}
