package server_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/controlplane/server/servertest"
	"github.com/skiff-dev/skiff/internal/names"
)

// TestFullDatabase fills a small database until it refuses writes, follows the advice
// in the alarm, and writes again. In the second round the control plane is restarted
// in between.
func TestFullDatabase(t *testing.T) {
	dir := t.TempDir()
	node, err := servertest.Write(dir, netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{dir: dir, life: t, quota: 24 << 20}
	c.launch(t, node, freePorts(t, 3), dir)
	c.awaitReady(t)
	c.noAlarm(t)
	for round := range 2 {
		made := c.fill(t)
		t.Logf("full after %d objects of %d KiB", made, fillBytes>>10)
		c.alarm(t)
		if round == 1 {
			if err := c.stop(); err != nil {
				t.Errorf("stopped with %v", err)
			}
			c.run(t)
			c.awaitReady(t)
			c.alarm(t)
		}
		c.clear(t)
		if c.put(t.Context(), "still-full", 1) == nil {
			t.Error("deletions alone ended the alarm, which etcd does not do")
		}
		if err := c.control().Defragment(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.noAlarm(t)
		c.eventually(t, "writing works again", func(ctx context.Context) error { return c.put(ctx, fmt.Sprintf("again-%d", round), 1) })
		members, err := c.control().Members(t.Context())
		if err != nil || len(members) != 1 || members[0].DatabaseBytes > c.quota/2 || members[0].QuotaBytes != c.quota {
			t.Errorf("after a defragmentation %+v, %v", members, err)
		}
	}
}

// TestFullDatabaseOfThree fills the database of three control planes. Nobody can
// renew the lease then; all continue to serve, and one leads again once there is
// room.
func TestFullDatabaseOfThree(t *testing.T) {
	f := newFleet(t)
	f.quota = 24 << 20
	for i := range f.nodes {
		f.launch(t, i)
	}
	f.voters(t, 0, 3)
	for i := range f.nodes {
		f.ready(t, i)
	}
	t.Logf("full after %d objects", f.all[0].fill(t))
	for _, c := range f.all {
		c.alarm(t)
	}
	for began := time.Now(); time.Since(began) < 2*leaseLength; time.Sleep(100 * time.Millisecond) {
		f.revive(t)
	}
	for i := range f.nodes {
		f.ready(t, i)
	}
	f.all[1].clear(t)
	// Through any member, whichever leads. One that has just restarted may not answer.
	f.eventually(t, 2, "a defragmentation", f.all[2].control().Defragment)
	for i, c := range f.all {
		c.noAlarm(t)
		f.eventually(t, i, "writing works again", func(ctx context.Context) error { return c.put(ctx, fmt.Sprintf("again-%d", i), 1) })
	}
	before, _, err := f.holder(t.Context(), 0)
	t.Logf("the lease was held by %q, %v", before, err)
	f.eventually(t, 0, "controllers work again", func(ctx context.Context) error {
		lease, err := f.all[0].client.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, names.ControlPlaneLease, metav1.GetOptions{})
		if err == nil && (lease.Spec.RenewTime == nil || time.Since(lease.Spec.RenewTime.Time) > leaseLength) {
			err = fmt.Errorf("nobody renews the lease: %+v", lease.Spec)
		}
		return err
	})
	members := f.voters(t, 0, 3)
	for _, m := range members {
		if m.DatabaseBytes > f.quota/2 || len(m.Alarms) > 0 {
			t.Errorf("after a defragmentation: %+v", m)
		}
	}
}

// leaseLength is the length of the lease among several control planes (package
// leadership).
const leaseLength = 4 * time.Second

const fillBytes = 512 << 10

func (c *cluster) put(ctx context.Context, name string, size int) error {
	_, err := c.client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"fill": ""}},
		BinaryData: map[string][]byte{"k": make([]byte, size)},
	}, metav1.CreateOptions{})
	return err
}

// clear deletes what fill created, which a full database allows.
func (c *cluster) clear(t *testing.T) {
	t.Helper()
	if err := c.client.CoreV1().ConfigMaps("default").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "fill"}); err != nil {
		t.Fatalf("a full database refuses deletions: %v", err)
	}
}

// fill writes until the database refuses writes.
func (c *cluster) fill(t *testing.T) int {
	t.Helper()
	for n := range 1000 {
		err := c.put(t.Context(), fmt.Sprintf("fill-%d", n), fillBytes)
		if err != nil && strings.Contains(err.Error(), "database space exceeded") {
			return n
		}
		if err != nil {
			t.Fatalf("refused for another reason: %v", err)
		}
	}
	t.Fatal("the database is never full")
	return 0
}

// alarm waits for the alarm of a full database.
func (c *cluster) alarm(t *testing.T) {
	t.Helper()
	c.eventually(t, "an alarm with advice", func(context.Context) error {
		status, err := c.control().Status(t.Context())
		if err == nil && (len(status.Alarms) != 1 || !strings.Contains(status.Alarms[0], "skiff etcd defrag")) {
			err = fmt.Errorf("alarms %q", status.Alarms)
		}
		return err
	})
	members, err := c.control().Members(t.Context())
	if err != nil || !slices.ContainsFunc(members, func(m controlapi.EtcdMember) bool { return slices.Equal(m.Alarms, []string{"nospace"}) }) {
		t.Errorf("members: %+v, %v", members, err)
	}
}

func (c *cluster) noAlarm(t *testing.T) {
	t.Helper()
	c.eventually(t, "no alarm", func(context.Context) error {
		status, err := c.control().Status(t.Context())
		if err == nil && len(status.Alarms) > 0 {
			err = fmt.Errorf("alarms %q", status.Alarms)
		}
		return err
	})
}
