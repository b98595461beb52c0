package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// takes makes a snapshot and returns the last message.
func (r *rig) takes(t *testing.T, name string) string {
	t.Helper()
	_, message := completed(t, func(ctx context.Context, event func(daemonapi.Event)) error {
		return r.client.Snapshot(ctx, name, event)
	})
	return message
}

// back restores a snapshot.
func (r *rig) back(t *testing.T, name string) {
	t.Helper()
	completed(t, func(ctx context.Context, event func(daemonapi.Event)) error {
		return r.client.RestoreSnapshot(ctx, name, event)
	})
}

// write writes to the disks of all machines.
func (r *rig) write(content string) {
	for _, name := range []string{"control-plane-1", "worker-1", "worker-2", "worker-3"} {
		r.driver.SetDisk(name, content+" of "+name)
	}
}

// wantDisks fails the test unless exactly the first three machines exist and have what was
// written.
func (r *rig) wantDisks(t *testing.T, content string) {
	t.Helper()
	for _, name := range []string{"control-plane-1", "worker-1", "worker-2"} {
		if got, want := r.driver.Disk(name), content+" of "+name; got != want {
			t.Errorf("the disk of %s has %q, want %q", name, got, want)
		}
	}
	if state, err := r.driver.State(t.Context(), "worker-3"); err != nil || state != machine.StateAbsent {
		t.Errorf("worker-3 is %s, %v", state, err)
	}
}

// wantOnly fails the test unless the cluster has exactly the named snapshots and nothing else
// of any.
func (r *rig) wantOnly(t *testing.T, names ...string) {
	t.Helper()
	all, damaged, err := r.client.Snapshots()
	if err != nil || len(damaged) > 0 {
		t.Fatal(damaged, err)
	}
	var got []string
	for _, m := range all {
		got = append(got, m.Name)
	}
	if !slices.Equal(got, names) {
		t.Errorf("snapshots %q, want %q", got, names)
	}
	dir := r.home.Cluster("demo")
	left, err := filepath.Glob(filepath.Join(dir.Snapshots(), "*"))
	if err != nil || len(left) != len(names) {
		t.Errorf("left: %q, %v", left, err)
	}
	if left, err := filepath.Glob(dir.Restoring() + "*"); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

func TestASnapshotIsRestoredAgainAndAgain(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.write("old")
	_, boots := r.counts()
	if said := r.takes(t, "first"); !strings.HasPrefix(said, "snapshot first taken: 24 MiB on disk; the machines were paused for 0.") || strings.Contains(said, "memory") {
		t.Errorf("said %q", said)
	}
	r.wantMachines(t, "running", "running", "running", "running")
	for range 2 {
		larger := r.spec
		larger.Workers = 3
		up(t, r.client, larger)
		r.write("new")
		r.back(t, "first")
		r.wantDisks(t, "old")
		r.wantMachines(t, "running", "running", "running", "running")
	}
	if _, booted := r.counts(); booted-boots != 2 {
		t.Errorf("%d machines have booted, want only worker-3 each time", booted-boots)
	}

	r.write("new") // a stopped cluster, whose memory is kept
	r.saved(t)
	r = r.again(t)
	before := r.interrupt("unpack worker-1", false)
	if err := r.client.RestoreSnapshot(t.Context(), "first", ignore); err == nil {
		t.Error("the snapshot was restored")
	}
	r.driver.Fail = before
	r.wantStates(t, allSaved...)
	r.back(t, "first")
	r.wantDisks(t, "old")
	r.wantMachines(t, "running", "running", "running", "running")
	r.wantOnly(t, "first")
	all, _, err := r.client.Snapshots()
	if err != nil || !all[0].Memory() || all[0].Driver != "lima" || all[0].Kubernetes != "v1.36.3" || !slices.Equal(all[0].Names(), []string{"control-plane-1", "worker-1", "worker-2"}) {
		t.Errorf("%+v, %v", all, err)
	}
	if status, err := r.client.Status(t.Context()); err != nil || status.Snapshots != 1 {
		t.Errorf("%d snapshots, %v", status.Snapshots, err)
	}
}

func TestASnapshotWithoutMemoryBoots(t *testing.T) {
	for name, test := range map[string]struct {
		noMemory error
		want     string
	}{
		"the driver keeps none":    {fmt.Errorf("%w here", errors.ErrUnsupported), "; without memory: its machines boot when it is restored"},
		"a machine shares folders": {errors.New("it shares folders"), "which boot when it is restored: it shares folders"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, shortHome(t), "demo")
			r.driver.NoMemory = test.noMemory
			up(t, r.client, r.spec)
			r.write("old")
			if said := r.takes(t, "cold"); !strings.Contains(said, test.want) {
				t.Errorf("said %q", said)
			}
			_, boots := r.counts()
			r.write("new")
			r.back(t, "cold")
			r.wantDisks(t, "old")
			if _, booted := r.counts(); booted-boots != 3 {
				t.Errorf("%d machines have booted, want all", booted-boots)
			}
		})
	}
}

func TestARestoreBringsTheKeysAndPortsOfThatTimeBack(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	dir := r.home.Cluster("demo")
	keyring := filepath.Join(dir.PKI(), "keyring.json")
	before, err := os.ReadFile(keyring)
	if err != nil {
		t.Fatal(err)
	}
	r.takes(t, "keys")
	completed(t, r.client.RotateSecrets)
	if after, err := os.ReadFile(keyring); err != nil || string(after) == string(before) {
		t.Fatalf("the keys are the same, %v", err)
	}
	// A restore of etcd that was interrupted does not concern the snapshot.
	if err := os.WriteFile(dir.Restore(), []byte(`{"id":"x","step":"hold"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.back(t, "keys")
	if after, err := os.ReadFile(keyring); err != nil || string(after) != string(before) {
		t.Errorf("the keys are others, %v", err)
	}
	if _, err := os.Stat(dir.Restore()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the restore of etcd: %v", err)
	}
}

func TestWhatCannotBeDoneIsRefusedAndChangesNothing(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	take := func(name string) error { return r.client.Snapshot(t.Context(), name, ignore) }
	back := func(name string) error { return r.client.RestoreSnapshot(t.Context(), name, ignore) }
	refused := func(what string, err error, invalid bool, want string) {
		t.Helper()
		var failure *daemonapi.Failure
		if !errors.As(err, &failure) || failure.Invalid != invalid || !strings.Contains(failure.Cause, want) || strings.Contains(failure.Cause, "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := back("first"); !errors.Is(err, client.ErrNoCluster) {
		t.Errorf("without a cluster: %v", err)
	}
	refused("a stopped cluster", take("first"), false, "stopped")
	up(t, r.client, r.spec)
	r.write("old")
	refused("an invalid name", take("../x"), true, `invalid name "../x" of a snapshot`)
	refused("an invalid name", back("../x"), true, `invalid name "../x" of a snapshot`)
	refused("no such snapshot", back("first"), true, "first: no such snapshot")
	r.takes(t, "first")
	refused("an existing one", take("first"), true, "first: the snapshot exists already")
	completed(t, r.client.Pause)
	refused("a paused cluster", take("second"), false, "is paused")
	completed(t, r.client.Resume)
	r.driver.End("worker-2", "")
	refused("a machine that is not running", take("second"), false, "worker-2 is not running")
	up(t, r.client, r.spec)

	lock, err := r.home.Cluster("demo").AcquireSnapshots()
	if err != nil {
		t.Fatal(err)
	}
	refused("while others work on them", take("second"), false, "another command is changing the snapshots")
	refused("while others work on them", back("first"), false, "another command is changing the snapshots")
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	// Damage.
	dir := snapshot.Dir(r.home.Cluster("demo"), "first")
	for _, damage := range []string{"machines/worker-1/fake.json", "files/cluster.json", "snapshot.json"} {
		if err := os.WriteFile(filepath.Join(dir, damage), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(damage, back("first"), true, "damaged")
	}
	r.wantDisks(t, "old")
	r.wantMachines(t, "running", "running", "running", "running")
	if _, damaged, err := r.client.Snapshots(); err != nil || len(damaged) != 1 {
		t.Errorf("damaged: %v, %v", damaged, err)
	}
	if err := errors.Join(r.client.RemoveSnapshot("first")); err != nil {
		t.Error(err)
	}
	if err := r.client.RemoveSnapshot("first"); !errors.Is(err, snapshot.ErrNone) {
		t.Errorf("removed twice: %v", err)
	}
	r.wantOnly(t)
}

func TestDownKeepsAClusterWithSnapshotsUnlessAsked(t *testing.T) {
	for name, stopped := range map[string]bool{"running": false, "stopped": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, shortHome(t), "demo")
			up(t, r.client, r.spec)
			r.takes(t, "first")
			if stopped {
				r.saved(t)
			}
			var failure *daemonapi.Failure
			if err := r.client.Down(t.Context(), daemonapi.DownRequest{}, ignore); !errors.As(err, &failure) || !failure.Invalid || failure.Cause != `cluster "demo" has 1 snapshot` {
				t.Errorf("down: %v", err)
			}
			r.wantOnly(t, "first")
			if err := r.client.Down(t.Context(), daemonapi.DownRequest{Snapshots: true}, ignore); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(string(r.home.Cluster("demo"))); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("left: %v", err)
			}
		})
	}
}

// TestAnInterruptionOfASnapshotAtEveryStepLeavesTheCluster fails each call of the driver, and
// ends the machines there, as a crash does.
func TestAnInterruptionOfASnapshotAtEveryStepLeavesTheCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("many clusters")
	}
	for _, call := range []string{
		"precopy control-plane-1", "precopy worker-2", "pause worker-1", "capture control-plane-1", "capture worker-2",
		"resume worker-1", "seal control-plane-1", "seal worker-2",
	} {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %t", call, crash), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, shortHome(t), "demo")
				up(t, r.client, r.spec)
				r.write("old")
				r.takes(t, "first")
				before := r.interrupt(call, crash)
				if err := r.client.Snapshot(t.Context(), "second", ignore); err == nil {
					t.Error("the snapshot was taken")
				}
				r.driver.Fail = before
				if crash {
					r.killed(t)
					r = r.again(t)
				}
				up(t, r.client, r.spec)
				r.wantDisks(t, "old")
				r.wantMachines(t, "running", "running", "running", "running")
				r.wantOnly(t, "first")
				r.takes(t, "second")
				r.wantOnly(t, "first", "second")
			})
		}
	}
}

// TestAnInterruptionOfARestoreAtEveryStepLeavesOneOfTheTwo does so for a restore.
func TestAnInterruptionOfARestoreAtEveryStepLeavesOneOfTheTwo(t *testing.T) {
	if testing.Short() {
		t.Skip("many clusters")
	}
	for call, want := range map[string]string{
		"unpack control-plane-1": "new", "unpack worker-2": "new",
		"wake control-plane-1": "old", "wake worker-2": "old",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, shortHome(t), "demo")
			up(t, r.client, r.spec)
			r.write("old")
			r.takes(t, "first")
			r.write("new")
			before := r.interrupt(call, true)
			if err := r.client.RestoreSnapshot(t.Context(), "first", ignore); err == nil {
				t.Error("the snapshot was restored")
			}
			r.driver.Fail = before
			r.killed(t)
			r = r.again(t)
			up(t, r.client, r.spec)
			r.wantDisks(t, want)
			r.wantMachines(t, "running", "running", "running", "running")
			r.wantOnly(t, "first")
			r.back(t, "first")
			r.wantDisks(t, "old")
		})
	}
}

// TestUpEndsARestoreThatWasInterrupted stages a restore as a daemon does that is killed then,
// or that fails and lives on.
func TestUpEndsARestoreThatWasInterrupted(t *testing.T) {
	for name, test := range map[string]struct {
		want              string
		effective, killed bool
	}{
		"killed before it took effect": {"new", false, true},
		"killed after it took effect":  {"old", true, true},
		"failed before it took effect": {"new", false, false},
		"failed after it took effect":  {"old", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, shortHome(t), "demo")
			up(t, r.client, r.spec)
			r.write("old")
			r.takes(t, "first")
			r.write("new")
			r.stoppedWith(t, daemonapi.StopRequest{Shutdown: true})
			if !test.killed {
				r = r.again(t)
			}
			dir := r.home.Cluster("demo")
			m, err := snapshot.Read(dir, "first")
			if err != nil {
				t.Fatal(err)
			}
			state, err := snapshot.State(dir, m)
			if err != nil {
				t.Fatal(err)
			}
			machines, err := snapshot.Stage(dir, m, state)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range m.Names() {
				if err := r.driver.Unpack(t.Context(), name, snapshot.MachineDir(dir, "first", name), machines, true); err != nil {
					t.Fatal(err)
				}
			}
			if test.effective {
				if err := os.Rename(filepath.Join(dir.Restoring(), "cluster.json"), dir.State()); err != nil {
					t.Fatal(err)
				}
			}
			status, err := r.client.Status(t.Context())
			if err != nil || !slices.ContainsFunc(status.Problems, func(p string) bool { return strings.Contains(p, "skiff up") }) {
				t.Errorf("problems %q, %v", status.Problems, err)
			}
			if test.killed {
				r = r.again(t)
			}
			up(t, r.client, r.spec)
			r.wantDisks(t, test.want)
			r.wantOnly(t, "first")
			if status, err := r.client.Status(t.Context()); err != nil || len(status.Problems) > 0 {
				t.Errorf("problems %q, %v", status.Problems, err)
			}
		})
	}
}

// interrupt lets one call of the driver fail, and ends all machines there if crash is set. It
// returns what Fail was.
func (r *rig) interrupt(step string, crash bool) (before func(call, name string) error) {
	before = r.driver.Fail
	r.driver.Fail = func(call, name string) error {
		if call+" "+name != step {
			return before(call, name)
		}
		if crash {
			_ = r.driver.Close()
		}
		return errors.New("no luck")
	}
	return before
}

// killed ends the daemon, whose machines have ended.
func (r *rig) killed(t *testing.T) {
	t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	r.ended <- nil
}
