package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/skiff-dev/skiff/controlplane/server/servertest"
	"github.com/skiff-dev/skiff/internal/runtest"
)

func TestAGateHoldsBackAndTellsWhenNothingIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		idle := g.hold()
		entered := make(chan error, 1)
		go func() { entered <- g.enter(t.Context()) }()
		synctest.Wait()
		select {
		case <-idle:
			t.Error("idle, though one is under way")
		case err := <-entered:
			t.Errorf("one went through a gate that is held: %v", err)
		default:
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.enter(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("enter = %v", err)
		}
		g.leave()
		<-idle
		<-g.hold() // held twice, idle at once
		g.release()
		if err := <-entered; err != nil {
			t.Error(err)
		}
		g.release()
		g.leave()
	})
}

// three starts three members in this process.
func three(t *testing.T) (members []*Member, settings []Settings) {
	t.Helper()
	settings = threeSettings(t)
	for _, s := range settings {
		m, _ := serve(t, s)
		members = append(members, m)
	}
	return members, settings
}

// threeSettings writes the certificates of three members, of which the first forms
// the cluster, and returns their settings.
func threeSettings(t *testing.T) (settings []Settings) {
	t.Helper()
	dir := t.TempDir()
	nodes, err := servertest.WriteCluster(dir, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3"))
	if err != nil {
		t.Fatal(err)
	}
	ports := [2]int{int(runtest.FreePort(t)), int(runtest.FreePort(t))}
	for _, n := range nodes {
		home := filepath.Join(dir, n.Name)
		settings = append(settings, Settings{
			Cluster: n.Cluster, Name: n.Name, Address: n.Network.Address.Addr(), Members: n.Etcd.Members, Join: n.Etcd.Join,
			Dir: filepath.Join(home, "etcd"), PKIDir: filepath.Join(home, "pki"), ClientPort: ports[0], PeerPort: ports[1],
		})
	}
	return settings
}

// serve starts a member, waits until it serves, and stops it at the end of the test
// or when stop is called.
func serve(t *testing.T, s Settings) (m *Member, stop func()) {
	t.Helper()
	m, err := Start(t.Context(), s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(m.Stop)
	t.Cleanup(stop)
	if err := m.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m, stop
}

// Without an announcement a third of the changes lost a write.
func TestNoWriteIsLostWhileTheLeadershipIsHandedOver(t *testing.T) {
	members, settings := three(t)
	ctx, cancel := context.WithCancel(t.Context())
	var written atomic.Int64
	var writers sync.WaitGroup
	defer writers.Wait()
	defer cancel()
	for i, m := range members {
		c := m.NewClient()
		t.Cleanup(func() { _ = c.Close() })
		for w := range 2 {
			writers.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					key := fmt.Sprintf("written/%d/%d/%d", i, w, n)
					_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).Then(clientv3.OpPut(key, "")).Commit()
					if err != nil && ctx.Err() == nil {
						t.Errorf("write by way of %s: %v", settings[i].Name, err)
					}
					written.Add(1)
				}
			})
		}
	}
	listed, err := with(ctx, settings[0], settings[0].Address, func(ctx context.Context, c *clientv3.Client) (*clientv3.MemberListResponse, error) {
		return c.MemberList(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	changes, longest := 0, time.Duration(0)
	for range 4 {
		for i, m := range listed.Members {
			leads := leader(members) == m.ID
			began := time.Now()
			if err := settings[0].handOver(ctx, listed.Members, i); err != nil {
				t.Fatal(err)
			}
			if leads {
				changes, longest = changes+1, max(longest, time.Since(began))
			}
		}
	}
	t.Logf("%d changes of the leadership, at most %s each, %d writes", changes, longest.Round(time.Millisecond), written.Load())
	if changes < 4 || written.Load() == 0 {
		t.Errorf("%d changes, %d writes", changes, written.Load())
	}
	left, err := members[0].NewClient().Get(ctx, handoverKey, clientv3.WithPrefix())
	if err != nil || len(left.Kvs) > 0 {
		t.Errorf("left in etcd: %v, %v", left.Kvs, err)
	}
}

// leader is the identity of the member that leads, as the first sees it.
func leader(members []*Member) uint64 { return uint64(members[0].etcd.Server.Leader()) }

func TestAgreementIsToOneAnnouncement(t *testing.T) {
	answer := &clientv3.GetResponse{Kvs: []*mvccpb.KeyValue{{Lease: 7}, {Lease: 8}, {Lease: 7}}}
	if got := agree(answer, 7); got != 2 {
		t.Errorf("%d members agree, want 2", got)
	}
}
