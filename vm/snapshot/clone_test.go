package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/home"
)

// TestACloneThatIsKilledAtAnyStepIsAllOfItOrNothing makes a cluster from a snapshot of another.
func TestACloneThatIsKilledAtAnyStepIsAllOfItOrNothing(t *testing.T) {
	count := 1 + len(finish(demo(t, "")))
	for killed := range count + 1 {
		t.Run(fmt.Sprint(killed), func(t *testing.T) {
			from := demo(t, "old")
			write(t, from.Services(), "old")
			takeOne(t, from, "first")
			m, err := Read(from, "first")
			if err != nil {
				t.Fatal(err)
			}
			then, err := State(from, m)
			if err != nil {
				t.Fatal(err)
			}
			files, err := credentials.New(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			dir := from.Home().Cluster("copy")
			state := then.Clone(then.CloneSpec("copy"), cluster.Origin{Cluster: "demo", Snapshot: "first"}, time.Now())
			state.Spec.APIPort = 6444
			machines, err := StageClone(dir, from, m, state, files)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(machines, "worker-1", "disk"), "old")
			if err := run(append([]step{take(dir)}, finish(dir)...)[:killed]); err != nil {
				t.Fatal(err)
			}
			if _, err := Recover(dir); err != nil {
				t.Error(err)
			}
			presence, err := dir.Presence()
			if want := map[bool]home.Presence{true: home.Absent, false: home.Present}[killed == 0]; err != nil || presence != want {
				t.Errorf("the cluster is %s, %v, want %s", presence, err, want)
			}
			if left, err := filepath.Glob(dir.Restoring() + "*"); err != nil || len(left) > 0 {
				t.Errorf("left: %q, %v", left, err)
			}
			wantAll(t, from, "old", true)
			if killed == 0 {
				return
			}
			got, err := cluster.ReadState(dir.State())
			if err != nil || got.Spec.Name != "copy" || !got.Adopting() || got.Kubernetes != "old" {
				t.Errorf("%+v, %v", got, err)
			}
			for path, want := range map[string]string{filepath.Join(dir.Machines(), "worker-1", "disk"): "old", dir.LoadBalancers(): "old", filepath.Join(dir.PKI(), "etcd/ca.key"): string(files["etcd/ca.key"])} {
				if content, err := os.ReadFile(path); err != nil || string(content) != want {
					t.Errorf("%s has %q, %v", path, content, err)
				}
			}
			if _, err := os.Stat(dir.Services()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the ports of the other cluster: %v", err)
			}
			if _, err := credentials.Read(dir.PKI()); err != nil {
				t.Error(err)
			}
		})
	}
}
