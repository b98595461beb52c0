package etcd

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/server/servertest"
	"github.com/skiff-dev/skiff/internal/runtest"
)

// alone returns the settings of a cluster with one member.
func alone(t *testing.T) Settings {
	t.Helper()
	dir := t.TempDir()
	n, err := servertest.Write(dir, netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	return Settings{
		Cluster: n.Cluster, Name: n.Name, Address: n.Network.Address.Addr(), Members: n.Etcd.Members,
		Dir: filepath.Join(dir, "etcd"), PKIDir: filepath.Join(dir, "pki"),
		ClientPort: int(runtest.FreePort(t)), PeerPort: int(runtest.FreePort(t)),
	}
}

// The tick is much longer than a start, and raft itself begins no election before it.
func TestAnOnlyMemberLeadsBeforeItsFirstTick(t *testing.T) {
	s := alone(t)
	s.timing = timing{tick: 10 * time.Second, election: 50 * time.Second}
	for _, data := range []string{"new", "existing"} {
		begun := time.Now()
		m, stop := serve(t, s)
		if took := time.Since(begun); took >= s.timing.tick {
			t.Errorf("with %s data it served after %s, when raft's timer had let it lead", data, took)
		}
		put(t, m, 1)
		stop()
	}
}

// While etcd applies the log of a member that starts, it compacts the log that raft has.
// A candidate that searched it then made the process panic, once in ten starts.
func TestAnOnlyMemberDoesNotCampaignWhileItsLogIsApplied(t *testing.T) {
	s := alone(t)
	for range 30 {
		m, stop := serve(t, s)
		put(t, m, 200)
		stop()
	}
}

func put(t *testing.T, m *Member, times int) {
	t.Helper()
	client := m.NewClient()
	defer func() { _ = client.Close() }()
	for range times {
		if _, err := client.Put(t.Context(), "key", "value"); err != nil {
			t.Fatal(err)
		}
	}
}
