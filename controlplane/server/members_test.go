package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/controlplane/server/servertest"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// fleet is three control planes that run natively, on addresses of loopback.
type fleet struct {
	life  *testing.T
	dir   string
	nodes []nodeconfig.Node
	ports []int
	all   []*cluster
	quota int64   // of each etcd, in bytes; 0 is the default
	down  [3]bool // those that are not to run
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{life: t, dir: t.TempDir(), ports: freePorts(t, 3), all: make([]*cluster, 3)}
	var err error
	f.nodes, err = servertest.WriteCluster(f.dir, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// launch starts control plane i, which may have run before.
func (f *fleet) launch(t *testing.T, i int) {
	t.Helper()
	f.all[i] = &cluster{dir: filepath.Join(f.dir, f.nodes[i].Name), life: f.life, quota: f.quota}
	f.all[i].launch(t, f.nodes[i], f.ports, f.dir)
	f.down[i] = false
}

// revive starts again what has ended by itself, as a node's supervisor does: on
// a starved machine a control plane may lose its lease, which ends it.
func (f *fleet) revive(t *testing.T) {
	for i, c := range f.all {
		if c == nil || f.down[i] {
			continue
		}
		select {
		case err := <-c.ended:
			t.Logf("control plane %d ended and is started again: %v", i+1, err)
			c.run(t)
		default:
		}
	}
}

// eventually is that of control plane i, with all others supervised.
func (f *fleet) eventually(t *testing.T, i int, what string, try func(context.Context) error) {
	t.Helper()
	f.all[i].eventually(t, what, func(ctx context.Context) error {
		f.revive(t)
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		return try(ctx)
	})
}

// ready waits until control plane i serves.
func (f *fleet) ready(t *testing.T, i int) {
	t.Helper()
	f.eventually(t, i, fmt.Sprintf("control plane %d is ready", i+1), f.all[i].serves)
}

func (f *fleet) kill(i int) {
	f.down[i] = true
	_ = f.all[i].process.Process.Kill()
	_ = f.all[i].end()
}

func (f *fleet) index(name string) int {
	for i, n := range f.nodes {
		if n.Name == name {
			return i
		}
	}
	return -1
}

// voters waits until that many members have a vote and none is a learner.
func (f *fleet) voters(t *testing.T, by, want int) []etcd.MemberStatus {
	t.Helper()
	var members []etcd.MemberStatus
	f.eventually(t, by, fmt.Sprintf("%d members with a vote", want), func(ctx context.Context) error {
		var err error
		if members, err = f.all[by].settings.Etcd().StatusOfMembers(ctx); err != nil {
			return err
		}
		for _, m := range members {
			if m.Learner || m.Error != "" || m.Name == "" {
				return fmt.Errorf("%+v", m)
			}
		}
		if len(members) != want {
			return fmt.Errorf("%d members", len(members))
		}
		return nil
	})
	return members
}

// holder is who has the lease, as control plane by sees it.
func (f *fleet) holder(ctx context.Context, by int) (string, int32, error) {
	lease, err := f.all[by].client.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, names.ControlPlaneLease, metav1.GetOptions{})
	if err != nil {
		return "", 0, err
	}
	if lease.Spec.HolderIdentity == nil || lease.Spec.LeaseDurationSeconds == nil {
		return "", 0, errors.New("nobody holds the lease")
	}
	return *lease.Spec.HolderIdentity, *lease.Spec.LeaseDurationSeconds, nil
}

// takeover waits until another than old has the lease, and says how long it took.
func (f *fleet) takeover(t *testing.T, by int, old string) time.Duration {
	t.Helper()
	began := time.Now()
	f.eventually(t, by, "another control plane leads", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		name, _, err := f.holder(ctx, by)
		if err == nil && (name == old || name == "") {
			err = fmt.Errorf("%q has the lease", name)
		}
		return err
	})
	return time.Since(began)
}

// writer writes all the time, through whichever control plane takes it, and
// remembers the longest time in which none did.
type writer struct {
	mu      sync.Mutex // guards what follows
	planes  []*cluster
	written int
	longest time.Duration
	stop    context.CancelFunc
	done    chan struct{}
}

func (f *fleet) writer(t *testing.T, through ...int) *writer {
	ctx, cancel := context.WithCancel(t.Context())
	w := &writer{stop: cancel, done: make(chan struct{})}
	for _, i := range through {
		w.planes = append(w.planes, f.all[i])
	}
	go w.run(ctx)
	return w
}

func (w *writer) run(ctx context.Context) {
	defer close(w.done)
	last := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		if w.write(ctx, n) {
			w.mu.Lock()
			w.written++
			w.longest = max(w.longest, time.Since(last))
			w.mu.Unlock()
			last = time.Now()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *writer) write(ctx context.Context, n int) bool {
	for _, c := range w.planes {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		_, err := c.client.CoreV1().ConfigMaps("default").Create(attempt, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("w-%p-%d", w, n)}}, metav1.CreateOptions{})
		cancel()
		if err == nil || apierrors.IsAlreadyExists(err) {
			return true
		}
	}
	return false
}

// end stops writing and says how long no write went through at most.
func (w *writer) end(t *testing.T, what string) {
	t.Helper()
	w.stop()
	<-w.done
	t.Logf("%s: %d writes, at most %s without one", what, w.written, w.longest.Round(time.Millisecond))
	if w.longest > outageLimit || w.written == 0 {
		t.Errorf("%s: no write for %s", what, w.longest)
	}
}

// outageLimit is for machines that are busy with other tests as well; the
// figures are in the log.
const outageLimit = 15 * time.Second

// TestThreeControlPlanes grows a cluster from one to three, loses members in
// every way, and shrinks it again.
func TestThreeControlPlanes(t *testing.T) {
	f := newFleet(t)
	f.launch(t, 0)
	f.ready(t, 0)
	t.Run("grows while it is written to", f.grows)
	t.Run("outlives the loss of its leader", f.losesLeader)
	t.Run("hands over at once on a clean stop", f.handsOver)
	t.Run("takes a member back that lost its disk", f.losesDisk)
	t.Run("rotates the key of secrets while all work", func(t *testing.T) { rotate(t, f.dir, f.all...) })
	t.Run("works with renewed certificates", f.renewed)
	t.Run("is what it was after all were killed", f.allKilled)
	t.Run("restores a snapshot onto all", f.restored)
	t.Run("shrinks while it is written to", f.shrinks)
}

func (f *fleet) grows(t *testing.T) {
	w := f.writer(t, 0)
	f.launch(t, 1)
	f.launch(t, 2)
	f.voters(t, 0, 3)
	for _, i := range []int{1, 2} {
		f.ready(t, i)
	}
	w.end(t, "growing")
	f.eventually(t, 0, "a lease that others can take over soon", func(ctx context.Context) error {
		if _, seconds, err := f.holder(ctx, 0); err != nil || seconds > 5 {
			return fmt.Errorf("lease of %d s, %w", seconds, err)
		}
		return nil
	})
}

func (f *fleet) losesLeader(t *testing.T) {
	name, _, err := f.holder(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	lost := f.index(name)
	others := []int{(lost + 1) % 3, (lost + 2) % 3}
	w := f.writer(t, others...)
	time.Sleep(200 * time.Millisecond)
	f.kill(lost)
	t.Logf("takeover after a crash: %s", f.takeover(t, others[0], name).Round(time.Millisecond))
	w.end(t, "losing the leader")
	f.launch(t, lost)
	f.ready(t, lost)
	f.voters(t, lost, 3)
}

func (f *fleet) handsOver(t *testing.T) {
	name, _, err := f.holder(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	leaving := f.index(name)
	by := (leaving + 1) % 3
	began := time.Now()
	f.down[leaving] = true
	_ = f.all[leaving].stop()
	stopped := time.Since(began)
	t.Logf("stopped in %s, takeover %s after that", stopped.Round(time.Millisecond), f.takeover(t, by, name).Round(time.Millisecond))
	f.drainedBefore(t, leaving)
	f.launch(t, leaving)
	f.ready(t, leaving)
}

func (f *fleet) losesDisk(t *testing.T) {
	before := f.voters(t, 0, 3)
	f.kill(2)
	if err := os.RemoveAll(filepath.Join(f.all[2].dir, "state")); err != nil {
		t.Fatal(err)
	}
	f.launch(t, 2)
	f.ready(t, 2)
	after := f.voters(t, 0, 3)
	ids := func(members []etcd.MemberStatus) map[string]string {
		m := map[string]string{}
		for _, member := range members {
			m[member.Name] = member.ID
		}
		return m
	}
	if was, is := ids(before), ids(after); was["control-plane-3"] == is["control-plane-3"] || was["control-plane-1"] != is["control-plane-1"] {
		t.Errorf("members %v, before %v", is, was)
	}
}

func (f *fleet) allKilled(t *testing.T) {
	maps := f.all[0].client.CoreV1().ConfigMaps("default")
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range f.all {
		f.kill(i)
	}
	for i := range f.all {
		f.launch(t, i)
	}
	for i, c := range f.all {
		f.ready(t, i)
		if _, err := c.client.CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
			t.Errorf("control plane %d: %v", i+1, err)
		}
	}
}

// restored takes a snapshot, loses what was written later, and finds the rest
// on all three.
func (f *fleet) restored(t *testing.T) {
	path := filepath.Join(f.dir, "snapshot.db")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := f.all[0].settings.Etcd().Snapshot(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	maps := f.all[0].client.CoreV1().ConfigMaps("default")
	if _, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "later"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	for i, c := range f.all {
		s := c.settings.Etcd()
		if i == 0 {
			err = s.RequestRestore(file)
		} else {
			err = s.RequestRejoin(strings.NewReader(f.nodes[0].Name))
		}
		if err != nil {
			t.Fatal(err)
		}
		f.down[i] = true
		select {
		case err := <-c.ended:
			if err == nil {
				t.Errorf("control plane %d ended as if all were done", i+1)
			}
		case <-time.After(time.Minute):
			t.Fatalf("control plane %d does not start again", i+1)
		}
		f.launch(t, i)
	}
	f.voters(t, 0, 3)
	for i, c := range f.all {
		f.ready(t, i)
		if _, err := c.client.CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
			t.Errorf("control plane %d: %v", i+1, err)
		}
		if _, err := c.client.CoreV1().ConfigMaps("default").Get(t.Context(), "later", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("control plane %d has what came after the snapshot: %v", i+1, err)
		}
	}
}

func (f *fleet) shrinks(t *testing.T) {
	w := f.writer(t, 0)
	stay := f.all[0].settings.Etcd()
	for _, i := range []int{2, 1} {
		address := f.nodes[i].Network.Address.Addr()
		f.drain(t, i, i+1)
		for range 2 { // interrupted and done again
			if err := stay.Remove(t.Context(), f.nodes[i].Name, address); err != nil {
				t.Fatal(err)
			}
		}
		f.kill(i)
		f.voters(t, 0, i)
	}
	w.end(t, "shrinking")
	f.eventually(t, 0, "a lease that nobody waits for", func(ctx context.Context) error {
		if name, seconds, err := f.holder(ctx, 0); err != nil || seconds < 60 || name != f.nodes[0].Name {
			return fmt.Errorf("lease of %d s held by %q, %w", seconds, name, err)
		}
		return nil
	})
	if err := f.all[0].stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}
