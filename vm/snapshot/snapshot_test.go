package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
)

// demo returns a cluster with one machine, whose disk, like all other files, has content.
func demo(t *testing.T, content string) home.Cluster {
	t.Helper()
	dir := home.Home(t.TempDir()).Cluster("demo")
	fill(t, dir, content)
	return dir
}

// fill writes content to all files of a cluster but services.json. Its state has content as
// the version of Kubernetes.
func fill(t *testing.T, dir home.Cluster, content string) {
	t.Helper()
	spec := cluster.Default()
	spec.Name, spec.APIPort = "demo", 6443
	write(t, filepath.Join(dir.Machines(), "worker-1", "disk"), content)
	for name, path := range kept(dir) {
		if name != "services.json" && name != stateFile {
			write(t, path, content)
		}
	}
	if err := cluster.WriteState(dir.State(), cluster.State{Spec: spec, Kubernetes: content}); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// wantAll fails the test unless all files have content, and services.json exists or not.
func wantAll(t *testing.T, dir home.Cluster, content string, services bool) {
	t.Helper()
	state, err := cluster.ReadState(dir.State())
	if err != nil || state.Kubernetes != content {
		t.Errorf("the state has %q, %v", state.Kubernetes, err)
	}
	paths := []string{filepath.Join(dir.Machines(), "worker-1", "disk")}
	for name, path := range kept(dir) {
		if name != "services.json" && name != stateFile {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%s has %q, %v, want %q", path, got, err, content)
		}
	}
	if _, err := os.Stat(dir.Services()); (err == nil) != services {
		t.Errorf("services: %v", err)
	}
	if left, err := filepath.Glob(dir.Restoring() + "*"); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}

// takeOne makes a snapshot of a cluster.
func takeOne(t *testing.T, dir home.Cluster, name string) {
	t.Helper()
	draft, err := Begin(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := draft.Machine("worker-1")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir.Machines(), "worker-1", "disk"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "disk"), string(content))
	if err := errors.Join(draft.Keep(), draft.Commit(Manifest{
		Created: time.Now(), Driver: "fake", Machines: []Machine{{Name: "worker-1", Snapshot: machine.Snapshot{Bytes: 5}}},
	}), draft.Close()); err != nil {
		t.Fatal(err)
	}
}

// stage prepares the restore of a snapshot.
func stage(t *testing.T, dir home.Cluster, name string) {
	t.Helper()
	m, err := Read(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	state, err := State(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	machines, err := Stage(dir, m, state)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(MachineDir(dir, name, "worker-1"), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(machines, "worker-1", "disk"), string(content))
}

func TestARestoreThatIsKilledAtAnyStepIsUndoneOrFinished(t *testing.T) {
	count := 1 + len(finish(demo(t, "")))
	for killed := range count + 1 {
		t.Run(fmt.Sprint(killed), func(t *testing.T) {
			dir := demo(t, "old")
			takeOne(t, dir, "first")
			for range 2 { // a snapshot can be restored again
				fill(t, dir, "new")
				write(t, dir.Services(), "new")
				stage(t, dir, "first")
				if err := run(append([]step{take(dir)}, finish(dir)...)[:killed]); err != nil {
					t.Fatal(err)
				}
				outcome, err := Recover(dir)
				want := Finished
				switch killed {
				case 0:
					want = Undone
				case count:
					want = Nothing
				}
				if err != nil || outcome != want {
					t.Errorf("outcome %q, %v, want %q", outcome, err, want)
				}
				if want == Undone {
					wantAll(t, dir, "new", true)
				} else {
					wantAll(t, dir, "old", false)
				}
			}
		})
	}
}

func TestARestoreThatIsKilledBeforeItsStepsChangesNothing(t *testing.T) {
	dir := demo(t, "old")
	takeOne(t, dir, "first")
	fill(t, dir, "new")
	m, err := Read(dir, "first")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Stage(dir, m, cluster.State{Spec: cluster.Default()}); err != nil { // without machines
		t.Fatal(err)
	}
	if !Pending(dir) {
		t.Error("it is not pending")
	}
	for _, want := range []Outcome{Undone, Nothing} {
		if outcome, err := Recover(dir); err != nil || outcome != want {
			t.Errorf("outcome %q, %v", outcome, err)
		}
	}
	wantAll(t, dir, "new", false)
	write(t, filepath.Join(dir.Restoring()+".gone", "vm", "disk"), "half removed")
	if _, err := Recover(dir); err != nil {
		t.Error(err)
	}
	wantAll(t, dir, "new", false)
	stage(t, dir, "first")
	if err := Commit(dir); err != nil {
		t.Fatal(err)
	}
	wantAll(t, dir, "old", false)
}

func TestASnapshotExistsIfItsManifestDoes(t *testing.T) {
	dir := demo(t, "old")
	draft, err := Begin(dir, "first")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := draft.Machine("worker-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(dir, "second"); !errors.Is(err, home.ErrLocked) {
		t.Errorf("two at once: %v", err)
	}
	if err := draft.lock.Release(); err != nil { // as if the process had been killed
		t.Fatal(err)
	}
	if left, err := Unfinished(dir); err != nil || len(left) != 1 || Count(dir) != 0 {
		t.Errorf("unfinished %q, %v", left, err)
	}
	if _, err := Read(dir, "first"); !errors.Is(err, ErrNone) {
		t.Errorf("an unfinished one: %v", err)
	}
	takeOne(t, dir, "second")
	if left, err := Unfinished(dir); err != nil || len(left) > 0 || Count(dir) != 1 {
		t.Errorf("unfinished %q, %v", left, err)
	}
	takeOne(t, dir, "a")
	all, damaged, err := List(dir)
	if err != nil || len(damaged) > 0 || len(all) != 2 || all[0].Name != "second" || all[0].Bytes() != 5 || all[0].Memory() {
		t.Errorf("%+v, %v, %v", all, damaged, err)
	}
	info, err := os.Stat(filepath.Join(Dir(dir, "a"), manifestFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := Remove(dir, "a"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(Dir(dir, "a")); !errors.Is(err, fs.ErrNotExist) || !errors.Is(Remove(dir, "a"), ErrNone) {
		t.Errorf("left: %v", err)
	}
}

func TestDamageIsFound(t *testing.T) {
	for file, want := range map[string]string{
		manifestFile:          "the snapshot is damaged",
		"files/cluster.json":  "the checksum of cluster.json is wrong",
		"files/keyring.json":  "the checksum of keyring.json is wrong",
		"files/services.json": "",
	} {
		dir := demo(t, "old")
		takeOne(t, dir, "first")
		write(t, filepath.Join(Dir(dir, "first"), file), "x")
		m, err := Read(dir, "first")
		if err == nil {
			_, err = State(dir, m)
		}
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"format":1,"machines":[{"name":"worker-1","bytes":1}],"files":{"cluster.json":"x"}}`))
	f.Add([]byte(`{"format":1,"machines":[{"name":"../x"}]}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := parse(content)
		if err != nil {
			return
		}
		dir := home.Home(t.TempDir()).Cluster("demo")
		for _, name := range m.Names() {
			if filepath.Dir(MachineDir(dir, "a", name)) != filepath.Join(Dir(dir, "a"), machinesDir) {
				t.Errorf("machine %q leads out of the snapshot", name)
			}
		}
	})
}

func TestNamesOfSnapshots(t *testing.T) {
	for name, valid := range map[string]bool{
		"a": true, "20260102-150405": true, "v1.2": true, DefaultName(time.Now()): true, strings.Repeat("a", 63): true,
		"": false, ".": false, "..": false, "a/b": false, "A": false, "-a": false, "a.": false, ".a": false, strings.Repeat("a", 64): false, "a\n": false,
	} {
		if err := CheckName(name); (err == nil) != valid || err != nil && !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
