package restore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/restore"
	"github.com/skiff-dev/skiff/vm/restore/restoretest"
)

type silent struct{}

func (silent) Begin(string, daemonapi.Phase, string)           {}
func (silent) End(string, daemonapi.Phase, *daemonapi.Failure) {}

// killer ends the caller's context at one of its calls, before or after the call
// reaches the control plane.
type killer struct {
	mu      sync.Mutex // guards what follows
	calls   int
	at      int // 0: never
	reached bool
	kill    context.CancelFunc
	file    string
	state   []byte // the state file at the time of the kill
}

var errKilled = errors.New("killed")

func (k *killer) call(do func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	switch {
	case k.at == 0 || k.calls < k.at:
		return do()
	case k.calls > k.at:
		return errKilled
	}
	if k.reached {
		_ = do()
	}
	k.state, _ = os.ReadFile(k.file)
	k.kill()
	return errKilled
}

// killed passes the calls for one control plane through a killer.
type killed struct {
	*killer
	plane *restoretest.ControlPlane
}

func (k killed) Status(ctx context.Context) (status controlapi.Status, err error) {
	err = k.call(func() error { status, err = k.plane.Status(ctx); return err })
	return status, err
}

func (k killed) Stage(ctx context.Context, in io.Reader) (info controlapi.SnapshotInfo, err error) {
	err = k.call(func() error { info, err = k.plane.Stage(ctx, in); return err })
	return info, err
}

func (k killed) Hold(ctx context.Context, r controlapi.RestoreRequest) error {
	return k.call(func() error { return k.plane.Hold(ctx, r) })
}

func (k killed) Replace(ctx context.Context, r controlapi.RestoreRequest) error {
	return k.call(func() error { return k.plane.Replace(ctx, r) })
}

func (k killed) Revert(ctx context.Context, r controlapi.RestoreRequest) error {
	return k.call(func() error { return k.plane.Revert(ctx, r) })
}

func (k killed) Release(ctx context.Context, r controlapi.ReleaseRequest) error {
	return k.call(func() error { return k.plane.Release(ctx, r) })
}

// world is a cluster with the data "old" and a snapshot with the data "new".
type world struct {
	t       *testing.T
	dir     string
	cluster *restoretest.Cluster
	names   []string
}

func newWorld(t *testing.T, planes int) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), cluster: &restoretest.Cluster{}}
	for n := range planes {
		w.names = append(w.names, fmt.Sprintf("control-plane-%d", n+1))
		w.cluster.Add(w.names[n], "old")
	}
	if err := os.WriteFile(filepath.Join(w.dir, "restore.db"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) file() string { return filepath.Join(w.dir, "restore.json") }

func (w *world) restore(k *killer) *restore.Restore {
	r := &restore.Restore{File: w.file(), Snapshot: filepath.Join(w.dir, "restore.db"), Progress: silent{}, Limit: time.Minute}
	for _, name := range w.names {
		plane := w.cluster.Add(name, "")
		r.Planes = append(r.Planes, restore.ControlPlane{Name: name, API: killed{k, plane}, Ready: plane.Ready})
	}
	return r
}

// whole fails the test unless all control planes serve the same data, nothing is
// left of the restore, and no data was ever in danger.
func (w *world) whole(want ...string) {
	w.t.Helper()
	data, err := w.cluster.Data()
	ok := false
	for _, one := range want {
		ok = ok || data == one
	}
	if err != nil || !ok {
		w.t.Errorf("the cluster has %q, want one of %q: %v", data, want, err)
	}
	if faults := w.cluster.Faults(); len(faults) > 0 {
		w.t.Errorf("faults: %q", faults)
	}
	if state, err := restore.Read(w.file()); err != nil || state.ID != "" {
		w.t.Errorf("left behind: %+v, %v", state, err)
	}
}

func TestRestoreGivesAllControlPlanesTheSnapshot(t *testing.T) {
	for _, planes := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, planes)
			if err := w.restore(&killer{}).Run(t.Context(), "one", "sum"); err != nil {
				t.Fatal(err)
			}
			w.whole("new")
		})
	}
}

func TestARestoreThatTheNodeRefusesChangesNothing(t *testing.T) {
	for name, set := range map[string]func(*restoretest.Cluster){
		"replace fails":                  func(c *restoretest.Cluster) { c.Refuse(errors.New("no space left on device")) },
		"the restored data never serves": func(c *restoretest.Cluster) { c.Serveless(errors.New("crash loop")) },
	} {
		for _, planes := range []int{1, 3} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, planes)
				set(w.cluster)
				if err := w.restore(&killer{}).Run(t.Context(), "one", "sum"); !errors.Is(err, restore.ErrUndone) {
					t.Errorf("%s: %v", name, err)
				}
				w.whole("old")
			})
		}
	}
}

func TestAKilledRestoreIsFinishedOrUndone(t *testing.T) {
	for _, planes := range []int{1, 3} {
		for _, reached := range []bool{false, true} {
			for _, early := range []bool{false, true} {
				outcomes := map[string]int{}
				for at := 1; ; at++ {
					over := false
					synctest.Test(t, func(t *testing.T) { over = killedAt(t, planes, at, reached, early, outcomes) })
					if over {
						break
					}
				}
				if outcomes["old"] == 0 || outcomes["new"] == 0 {
					t.Errorf("%d control planes: outcomes %v", planes, outcomes)
				}
			}
		}
	}
}

// killedAt kills a restore at one of its calls. With early, the state file is
// what it was at that call, as if the kill had come before the next write.
func killedAt(t *testing.T, planes, at int, reached, early bool, outcomes map[string]int) (over bool) {
	w := newWorld(t, planes)
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	k := &killer{at: at, reached: reached, kill: kill, file: w.file()}
	if w.restore(k).Run(ctx, "one", "sum") == nil {
		w.whole("new")
		return true
	}
	if early {
		if err := os.WriteFile(w.file(), k.state, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := w.restore(&killer{}).Recover(t.Context())
	if err != nil || found.ID != "one" {
		t.Errorf("killed at call %d: %+v, %v", at, found, err)
	}
	w.whole("old", "new")
	data, _ := w.cluster.Data()
	outcomes[data]++
	if (data == "new") != found.Finished() {
		t.Errorf("killed at call %d: the data is %q, finished %v", at, data, found.Finished())
	}
	if err := w.restore(&killer{}).Run(t.Context(), "two", "sum"); err != nil {
		t.Errorf("killed at call %d, then again: %v", at, err)
	}
	w.whole("new")
	return false
}

func TestAKilledRecoveryIsRecovered(t *testing.T) {
	for first := 1; first < 40; first += 3 {
		for second := 1; second < 12; second += 2 {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				for _, at := range []int{first, second} {
					ctx, kill := context.WithCancel(t.Context())
					k := &killer{at: at, reached: true, kill: kill, file: w.file()}
					if at == first && k.state == nil {
						_ = w.restore(k).Run(ctx, "one", "sum")
					} else {
						_, _ = w.restore(k).Recover(ctx)
					}
					kill()
				}
				if _, err := w.restore(&killer{}).Recover(t.Context()); err != nil {
					t.Errorf("killed at calls %d and %d: %v", first, second, err)
				}
				w.whole("old", "new")
			})
		}
	}
}

func TestHeldControlPlanesAreReleasedWithoutAStateFile(t *testing.T) {
	for at := 1; at < 40; at += 2 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 3)
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			_ = w.restore(&killer{at: at, reached: true, kill: kill}).Run(ctx, "one", "sum")
			if err := os.Remove(w.file()); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if _, err := w.restore(&killer{}).Recover(t.Context()); err != nil {
				t.Errorf("killed at call %d: %v", at, err)
			}
			w.whole("old", "new")
		})
	}
}

func TestADamagedStateFileIsAnError(t *testing.T) {
	w := newWorld(t, 1)
	for _, content := range []string{"", "{", "{}"} {
		if err := os.WriteFile(w.file(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := w.restore(&killer{}).Recover(t.Context()); err == nil {
			t.Errorf("%q: no error", content)
		}
	}
}
