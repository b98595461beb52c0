package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/restore"
)

// testRestore restores snapshots onto one and three control planes. An invalid
// file changes nothing, and a restore whose command or daemon is killed ends with
// the data from before or with that of the snapshot.
func testRestore(t *testing.T, r *rig, name string, k *kube) {
	if !r.sandboxed && !r.chosen {
		t.Skip("two control planes more take minutes under emulation; SKIFF_E2E_DRIVER=lima runs it")
	}
	k = k.in(t)
	dir := t.TempDir()
	invalid, ofOne, ofThree := filepath.Join(dir, "invalid.db"), filepath.Join(dir, "one.db"), filepath.Join(dir, "three.db")
	noise := make([]byte, 1<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(invalid, noise, 0o600); err != nil {
		t.Fatal(err)
	}
	mark := func(when string) {
		t.Helper()
		k.kubectl(t, "create", "configmap", when)
	}
	marks := func(want ...string) {
		t.Helper()
		eventually(t, waitLimit, fmt.Sprintf("the objects %v", want), func() error {
			a := k.try(t, "get", "configmaps", "-o", "jsonpath={.items[*].metadata.name}")
			if a.code != 0 {
				return errors.New(a.stderr)
			}
			for _, when := range []string{"kept", "after-one", "after-three"} {
				wanted := strings.Contains(" "+strings.Join(want, " ")+" ", " "+when+" ")
				if strings.Contains(" "+a.stdout+" ", " "+when+" ") != wanted {
					return fmt.Errorf("have %s", a.stdout)
				}
			}
			return nil
		})
	}

	mark("kept")
	r.refusesSnapshot(t, name, invalid)
	r.skiff(t, "etcd", "snapshot", ofOne, "-c", name)
	mark("after-one")
	r.upWith(t, name, "3")
	r.refusesSnapshot(t, name, invalid)
	equal(t, "members", len(r.members(t, name)), 3)
	marks("kept", "after-one")

	r.skiff(t, "etcd", "snapshot", ofThree, "-c", name)
	mark("after-three")
	r.restores(t, name, ofThree)
	marks("kept", "after-one")
	r.restores(t, name, ofOne) // a snapshot of one, onto three
	marks("kept")

	// Whoever asked for the restore is killed at once: the restore continues.
	mark("after-three")
	command := r.background(t, "etcd", "restore", ofThree, "-c", name, "--yes")
	file := home.Home(r.home).Cluster(name).Restore()
	r.awaitStep(t, command, file, restore.StepStage)
	_ = command.Process.Kill()
	_ = command.Wait()
	eventually(t, waitLimit, "the restore has ended", func() error {
		if state, err := restore.Read(file); err != nil || state.ID != "" {
			return fmt.Errorf("it is at %q, %w", state.Step, err)
		}
		return nil
	})
	marks("kept", "after-one")

	// The daemon is killed with the machines.
	for _, step := range []restore.Step{restore.StepHold, restore.StepReplace, restore.StepJoin} {
		command := r.background(t, "etcd", "restore", ofThree, "-c", name, "--yes")
		daemon := r.status(t, name).DaemonPID
		r.awaitStep(t, command, file, step)
		kill(t, daemon)
		_ = command.Wait()
		t.Logf("killed at step %s: %s", step, command.output.String())
		r.upWith(t, name, "3")
		marks("kept", "after-one")
		equal(t, "members", len(r.members(t, name)), 3)
	}

	r.upWith(t, name, "1")
	r.restores(t, name, ofThree) // a snapshot of three, onto one
	marks("kept", "after-one")
	// A snapshot may have secrets under retired keys, so a restore admits them again.
	r.skiff(t, "secrets", "rotate", name)
	equal(t, "problems", fmt.Sprint(r.status(t, name).Problems), "[]")
}

// awaitStep returns once a restore has come to a step.
func (r *rig) awaitStep(t *testing.T, command *started, file string, step restore.Step) {
	t.Helper()
	order := []restore.Step{restore.StepStage, restore.StepHold, restore.StepReplace, restore.StepJoin}
	for began := time.Now(); time.Since(began) < waitLimit; time.Sleep(time.Millisecond) {
		state, err := restore.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		if state.ID != "" && slices.Index(order, state.Step) >= slices.Index(order, step) {
			return
		}
	}
	t.Fatalf("the restore did not come to step %s: %s", step, command.output.String())
}

// refusesSnapshot fails the test unless a restore of an invalid file fails.
func (r *rig) refusesSnapshot(t *testing.T, name, path string) {
	t.Helper()
	a := r.trySkiff(t, "etcd", "restore", path, "-c", name, "--yes")
	if a.code == 0 || !strings.Contains(a.stderr, "not a valid etcd snapshot") {
		t.Errorf("restore of an invalid file: exit code %d\n%s%s", a.code, a.stdout, a.stderr)
	}
}

func (r *rig) restores(t *testing.T, name, path string) {
	t.Helper()
	a := r.trySkiff(t, "etcd", "restore", path, "-c", name, "--yes")
	t.Logf("etcd restore: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		r.dump(t, name)
		t.FailNow()
	}
}
