package client_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/snapshot/snapshottest"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// restore restores a snapshot.
func (r *rig) restore(t *testing.T, snapshot []byte) error {
	t.Helper()
	return r.client.RestoreEtcd(t.Context(), bytes.NewReader(snapshot), func(daemonapi.Event) {})
}

// serves fails the test unless all control planes serve data, nothing is left of
// a restore, and no data was ever in danger.
func (r *rig) serves(t *testing.T, data string) {
	t.Helper()
	if got, err := r.etcd.Data(); err != nil || got != data {
		t.Errorf("the control planes serve %d bytes, not %d: %v", len(got), len(data), err)
	}
	if faults := r.etcd.Faults(); len(faults) > 0 {
		t.Errorf("faults: %q", faults)
	}
	if left, err := filepath.Glob(filepath.Join(string(r.home.Cluster(r.spec.Name)), "restore*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRestoreOfOneAndOfThreeControlPlanes(t *testing.T) {
	for name, planes := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, shortHome(t), name)
			r.spec.ControlPlanes = planes
			snapshot := snapshottest.Snapshot(t)
			if err := r.restore(t, snapshot); err == nil || !strings.Contains(err.Error(), "stopped") {
				t.Errorf("a stopped cluster: %v", err)
			}
			up(t, r.client, r.spec)
			for _, invalid := range [][]byte{nil, []byte("nonsense"), snapshot[:len(snapshot)/2], snapshottest.Database(t, "key", 10)} {
				var failure *daemonapi.Failure
				if err := r.restore(t, invalid); !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, "not a valid etcd snapshot") {
					t.Errorf("an invalid snapshot of %d bytes: %v", len(invalid), err)
				}
				r.serves(t, "old")
			}
			r.etcd.Refuse(errors.New("no space left on device"))
			if err := r.restore(t, snapshot); err == nil || !strings.Contains(err.Error(), "no space left on device") {
				t.Errorf("a node that refuses: %v", err)
			}
			r.serves(t, "old")
			r.etcd.Refuse(nil)
			if err := r.restore(t, snapshot); err != nil {
				t.Fatal(err)
			}
			r.serves(t, string(snapshot))
			if status, err := r.client.Status(t.Context()); err != nil || len(status.Problems) > 0 {
				t.Errorf("problems %q, %v", status.Problems, err)
			}
		})
	}
}

func TestUpEndsAnInterruptedRestore(t *testing.T) {
	r := newRig(t, shortHome(t), "again")
	r.spec.ControlPlanes = 3
	up(t, r.client, r.spec)
	for _, c := range []struct{ step, want string }{{"hold", "old"}, {"replace", "new"}} {
		step, want := c.step, c.want
		first := r.etcd.Add("control-plane-1", "")
		if _, err := first.Stage(t.Context(), strings.NewReader("new")); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"control-plane-1", "control-plane-2", "control-plane-3"} {
			if err := r.etcd.Add(name, "").Hold(t.Context(), controlapi.RestoreRequest{ID: step}); err != nil {
				t.Fatal(err)
			}
		}
		state := `{"id":"` + step + `","sha256":"x","step":"` + step + `"}`
		if err := os.WriteFile(r.home.Cluster("again").Restore(), []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
		status, err := r.client.Status(t.Context())
		if err != nil || len(status.Problems) != 1 || !strings.Contains(status.Problems[0], "skiff up") {
			t.Errorf("problems %q, %v", status.Problems, err)
		}
		up(t, r.client, r.spec)
		if want == "old" {
			r.serves(t, "old")
		}
	}
	r.serves(t, "new")
}

func TestRestoreNeedsAllControlPlanes(t *testing.T) {
	r := newRig(t, shortHome(t), "missing")
	r.spec.ControlPlanes = 3
	up(t, r.client, r.spec)
	r.driver.End("control-plane-3", "")
	var failure *daemonapi.Failure
	if err := r.restore(t, snapshottest.Snapshot(t)); !errors.As(err, &failure) || !strings.Contains(failure.Cause, "control-plane-3 is not running") || !strings.Contains(failure.Hint, "skiff up") {
		t.Errorf("without control-plane-3: %v", err)
	}
	if faults := r.etcd.Faults(); len(faults) > 0 {
		t.Errorf("faults: %q", faults)
	}
}
