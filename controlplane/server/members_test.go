package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/controlplane/server/servertest"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// fleet is three control planes that run natively, on loopback addresses.
type fleet struct {
	life  *testing.T
	dir   string
	nodes []nodeconfig.Node
	ports []int
	all   []*cluster
	quota int64   // of each etcd, in bytes; 0 is the default
	down  [3]bool // those that must not be restarted
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

// launch starts control plane i, which may have been started before.
func (f *fleet) launch(t *testing.T, i int) {
	t.Helper()
	f.all[i] = &cluster{dir: filepath.Join(f.dir, f.nodes[i].Name), life: f.life, quota: f.quota}
	f.all[i].launch(t, f.nodes[i], f.ports, f.dir)
	f.down[i] = false
}

// revive restarts control planes that have ended by themselves, as a node's
// supervisor does: on a starved machine one may lose its lease, which ends it.
func (f *fleet) revive(t *testing.T) {
	for i, c := range f.all {
		if c == nil || f.down[i] {
			continue
		}
		select {
		case err := <-c.ended:
			t.Logf("control plane %d ended and is restarted: %v", i+1, err)
			c.run(t)
		default:
		}
	}
}

// eventually is like cluster.eventually for control plane i, and supervises the others.
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

// voters waits until the cluster has that many voters and no learner.
func (f *fleet) voters(t *testing.T, by, want int) []controlapi.EtcdMember {
	t.Helper()
	var members []controlapi.EtcdMember
	f.eventually(t, by, fmt.Sprintf("%d voters", want), func(ctx context.Context) error {
		var err error
		if members, err = f.all[by].control().Members(ctx); err != nil {
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

// holder returns the holder of the lease as control plane by sees it, and the length
// of the lease in seconds.
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

// takeover waits until another control plane than old has the lease, and returns how
// long that took.
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

// writer writes continuously through any control plane that accepts the write, and
// records the longest time without a write.
type writer struct {
	mu      sync.Mutex // guards the fields below
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

// end stops writing and checks the longest time without a write.
func (w *writer) end(t *testing.T, what string) {
	t.Helper()
	w.stop()
	<-w.done
	t.Logf("%s: %d writes, at most %s without one", what, w.written, w.longest.Round(time.Millisecond))
	if w.longest > outageLimit || w.written == 0 {
		t.Errorf("%s: no write for %s", what, w.longest)
	}
}

// outageLimit allows for machines that are busy with other tests; the log has the
// actual figures.
const outageLimit = 15 * time.Second

// TestThreeControlPlanes grows a cluster from one control plane to three, loses
// members in every way, and shrinks it again.
func TestThreeControlPlanes(t *testing.T) {
	f := newFleet(t)
	f.launch(t, 0)
	f.ready(t, 0)
	t.Run("grows while it is written to", f.grows)
	t.Run("survives the loss of its leader", f.losesLeader)
	t.Run("hands over at once when the leader stops", f.handsOver)
	t.Run("replaces a member whose disk was lost", f.losesDisk)
	t.Run("rotates the encryption key while all serve", func(t *testing.T) { rotate(t, f.dir, f.all...) })
	t.Run("works with renewed certificates", f.renewed)
	t.Run("keeps its data when all are killed", f.allKilled)
	t.Run("stops one after another", f.allStopped)
	t.Run("an invalid snapshot changes nothing", f.refusesInvalid)
	t.Run("an undone restore changes nothing", f.undone)
	t.Run("restores a snapshot", f.restored)
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
	f.eventually(t, 0, "a short lease", func(ctx context.Context) error {
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
	ids := func(members []controlapi.EtcdMember) map[string]string {
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

// allStopped stops all as "skiff stop" does: the last one has no majority.
func (f *fleet) allStopped(t *testing.T) {
	var longest time.Duration
	for i := range slices.Backward(f.all) {
		began := time.Now()
		f.down[i] = true
		_ = f.all[i].stop()
		longest = max(longest, time.Since(began))
		t.Logf("control plane %d stopped in %s", i+1, time.Since(began).Round(time.Millisecond))
	}
	if longest > lastStopLimit {
		t.Errorf("a control plane took %s to stop", longest)
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

// lastStopLimit is below the 15 s that a control plane without a majority would need
// to give its requests up.
const lastStopLimit = 10 * time.Second

func (f *fleet) shrinks(t *testing.T) {
	w := f.writer(t, 0)
	stay := f.all[0].control()
	for _, i := range []int{2, 1} {
		member := controlapi.RemoveRequest{Name: f.nodes[i].Name, Address: f.nodes[i].Network.Address.Addr().String()}
		f.drain(t, i, i+1)
		for range 2 { // repeated after an interruption
			if err := stay.Remove(t.Context(), member); err != nil {
				t.Fatal(err)
			}
		}
		f.kill(i)
		f.voters(t, 0, i)
	}
	w.end(t, "shrinking")
	f.eventually(t, 0, "a long lease", func(ctx context.Context) error {
		if name, seconds, err := f.holder(ctx, 0); err != nil || seconds < 60 || name != f.nodes[0].Name {
			return fmt.Errorf("lease of %d s held by %q, %w", seconds, name, err)
		}
		return nil
	})
	if err := f.all[0].stop(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}
