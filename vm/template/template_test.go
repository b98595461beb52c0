package template_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver/saved"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/snapshot"
	"github.com/skiff-dev/skiff/vm/template"
)

// demo returns the configuration of a cluster with so many workers.
func demo(workers int) cluster.Spec {
	spec := cluster.Default()
	spec.Workers, spec.KubernetesVersion = workers, "1.37"
	return spec
}

func keyOf(t *testing.T, spec cluster.Spec, image string) string {
	t.Helper()
	key, err := template.Key(spec, image)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// begin makes the directory of a template as it is once its cluster has ended.
func begin(t *testing.T, h home.Home, spec cluster.Spec, image string) (key string) {
	t.Helper()
	key = keyOf(t, spec, image)
	dir := template.Dir(h, key)
	for path, content := range map[string]string{
		filepath.Join(dir.PKI(), "ca.key"): "secret", filepath.Join(dir.Machines(), "worker-1", "disk"): "disk", dir.Log(): "log",
		filepath.Join(dir.PKI(), "keyring.json"): "{}", h.Template(key).Web(): "{}",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := cluster.WriteState(dir.State(), cluster.State{Spec: template.Shape(spec)}); err != nil {
		t.Fatal(err)
	}
	draft, err := snapshot.Begin(dir, template.SnapshotName)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := draft.Machine("worker-1")
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "memory"), make([]byte, 1<<20), 0o600)
	}
	if err == nil {
		err = draft.Keep()
	}
	if err == nil {
		err = draft.Commit(snapshot.Manifest{Created: time.Now().UTC(), Driver: "lima", Machines: []snapshot.Machine{{Name: "worker-1", Snapshot: machine.Snapshot{Memory: true}}}})
	}
	if err := errors.Join(err, draft.Close()); err != nil {
		t.Fatal(err)
	}
	return key
}

// complete makes a template that was last used at a time.
func complete(t *testing.T, h home.Home, spec cluster.Spec, image string, used time.Time) template.Template {
	t.Helper()
	made, err := template.Complete(h, template.Template{Key: begin(t, h, spec, image), Shape: template.Shape(spec), Image: image, Kubernetes: "v1.37.2"}, time.Now())
	if err == nil {
		err = template.Touch(h, made.Key, used)
	}
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestTheKeyDependsOnWhatNodesDependOn(t *testing.T) {
	key := keyOf(t, demo(2), "sha256:a")
	if other := keyOf(t, demo(2), "sha256:b"); other == key {
		t.Error("another node image has the same key")
	}
	for name, change := range map[string]func(*cluster.Spec){
		"workers": func(s *cluster.Spec) { s.Workers = 3 }, "memory": func(s *cluster.Spec) { s.Memory = "3Gi" },
		"settings": func(s *cluster.Spec) { s.Kubernetes.FeatureGates = map[string]bool{"X": true} }, "runtimes": func(s *cluster.Spec) { s.Runtimes = []string{"crun"} },
		"names in certificates": func(s *cluster.Spec) { s.APIServerSANs = []string{"dev.example.com"} }, "domain": func(s *cluster.Spec) { s.Network.Domain = "x" },
	} {
		spec := demo(2)
		change(&spec)
		if keyOf(t, spec, "sha256:a") == key {
			t.Errorf("%s: the same key", name)
		}
	}
	for name, change := range map[string]func(*cluster.Spec){
		"name": func(s *cluster.Spec) { s.Name = "other" }, "port": func(s *cluster.Spec) { s.APIPort = 7000 },
		"ports": func(s *cluster.Spec) { s.Ports = []string{"80:svc/web"} }, "records": func(s *cluster.Spec) { s.Records.Keep = "1h" },
		"pause": func(s *cluster.Spec) { s.Pause.Idle = "5m" }, "addons": func(s *cluster.Spec) { s.Addons = []cluster.Addon{{}} },
		"proxy of the host": func(s *cluster.Spec) { s.Environment.Proxy.HTTP = "http://proxy" },
	} {
		spec := demo(2)
		change(&spec)
		if keyOf(t, spec, "sha256:a") != key {
			t.Errorf("%s: another key", name)
		}
	}
}

func TestSomeClustersHaveNoTemplate(t *testing.T) {
	if reason := template.Unsuitable(demo(2)); reason != "" {
		t.Error(reason)
	}
	for want, change := range map[string]func(*cluster.Spec){
		"share folders":        func(s *cluster.Spec) { s.Mounts = []string{"/src"} },
		"Kubernetes 1.35":      func(s *cluster.Spec) { s.KubernetesVersion = "1.35" },
		"another architecture": func(s *cluster.Spec) { s.Nodes = []cluster.Group{{Name: "arm", Arch: "arm64"}} },
	} {
		spec := demo(2)
		change(&spec)
		if reason := template.Unsuitable(spec); !strings.Contains(reason, want) {
			t.Errorf("%q: %q", want, reason)
		}
	}
}

func TestATemplateHasOnlyWhatClustersBeginWith(t *testing.T) {
	h := home.Home(t.TempDir())
	key := begin(t, h, demo(2), "sha256:a")
	if _, err := template.Read(h, key); !errors.Is(err, template.ErrNone) {
		t.Errorf("before it is complete: %v", err)
	}
	made := complete(t, home.Home(t.TempDir()), demo(2), "sha256:a", time.Now())
	if made.Key != key {
		t.Errorf("key %s, want %s", made.Key, key)
	}
	made, err := template.Complete(h, template.Template{Key: key, Shape: template.Shape(demo(2)), Image: "sha256:a"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(string(template.Dir(h, key)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if !slices.Equal(names, []string{"pki", "snapshots"}) {
		t.Errorf("it has %q", names)
	}
	if _, err := os.Stat(h.Template(key).Web()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ports of names: %v", err)
	}
	read, err := template.Read(h, key)
	if err != nil || read.Key != key || read.Bytes < 1<<20 || !read.Created.Equal(made.Created) {
		t.Errorf("read %+v, %v", read, err)
	}
	origin, then, err := read.Origin(h)
	if err != nil || !origin.Shared || origin.String() != "template "+key || then.Spec.Workers != 2 {
		t.Errorf("origin %+v, %v", origin, err)
	}
	if dir, err := template.Source(h, origin); err != nil || dir != template.Dir(h, key) {
		t.Errorf("source %s, %v", dir, err)
	}
	if err := template.Remove(h, key); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(string(h.Template(key))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
	if err := template.Remove(h, key); !errors.Is(err, template.ErrNone) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestDamagedTemplatesAreReported(t *testing.T) {
	for name, content := range map[string]string{
		"cut short": `{"format":1,`, "empty": "", "another key": `{"format":1,"key":"000000000000"}`, "newer": `{"format":2,"key":"KEY"}`,
		"too large": strings.Repeat(" ", 5<<20),
	} {
		t.Run(name, func(t *testing.T) {
			h := home.Home(t.TempDir())
			made := complete(t, h, demo(2), "sha256:a", time.Now())
			path := filepath.Join(string(h.Template(made.Key)), "template.json")
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(content, "KEY", made.Key)), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := template.Read(h, made.Key); !errors.Is(err, template.ErrDamaged) {
				t.Errorf("%v", err)
			}
			all, damaged, err := template.List(h)
			if len(all) != 0 || len(damaged) != 1 || err != nil {
				t.Errorf("listed %v, %v, %v", all, damaged, err)
			}
			if waste, err := template.FindWaste(h, template.Kept{Bytes: 1 << 40}, time.Now()); err != nil || len(waste) != 1 || waste[0].Reason != "it is damaged" {
				t.Errorf("waste %v, %v", waste, err)
			}
		})
	}
}

func TestKeysAreNotPaths(t *testing.T) {
	h := home.Home(t.TempDir())
	for _, key := range []string{"", "..", "../../x", "0123456789ab/..", "0123456789AB"} {
		if _, err := template.Read(h, key); !errors.Is(err, template.ErrNone) {
			t.Errorf("read %q: %v", key, err)
		}
		if err := template.Remove(h, key); !errors.Is(err, template.ErrNone) {
			t.Errorf("remove %q: %v", key, err)
		}
		if _, err := template.Source(h, cluster.Origin{Template: key, Cluster: "x"}); key != "" && !errors.Is(err, template.ErrNone) {
			t.Errorf("source of %q: %v", key, err)
		}
	}
}

func TestWasteIsWhatCannotBeUsedAndThenWhatWasUsedLeastRecently(t *testing.T) {
	h, now := home.Home(t.TempDir()), time.Now()
	old := complete(t, h, demo(1), "sha256:a", now.Add(-3*time.Hour))
	older := complete(t, h, demo(2), "sha256:a", now.Add(-4*time.Hour))
	newest := complete(t, h, demo(3), "sha256:a", now)
	gone := complete(t, h, demo(4), "sha256:gone", now)
	unfinished := begin(t, h, demo(5), "sha256:a")
	reasons := func(kept template.Kept, at time.Time) map[string]string {
		t.Helper()
		waste, err := template.FindWaste(h, kept, at)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, one := range waste {
			all[one.Key] = one.Reason
			if one.Bytes < 1<<20 {
				t.Errorf("%s has %d bytes", one.Key, one.Bytes)
			}
		}
		return all
	}
	images := []string{"sha256:a"}
	got := reasons(template.Kept{Images: images, Bytes: 1 << 40}, now)
	if len(got) != 2 || got[unfinished] != "it was never completed" || got[gone.Key] != "it was made with another node image" {
		t.Errorf("with room for all: %v", got)
	}
	got = reasons(template.Kept{Images: images, Bytes: newest.Bytes + old.Bytes}, now)
	if _, ok := got[older.Key]; len(got) != 3 || !ok {
		t.Errorf("with room for two: %v", got)
	}
	got = reasons(template.Kept{Images: images, Bytes: 1}, now)
	if _, ok := got[newest.Key]; len(got) != 4 || ok {
		t.Errorf("with room for none: %v", got)
	}
	if got = reasons(template.Kept{Bytes: 1 << 40}, now); len(got) != 1 {
		t.Errorf("without knowledge of images: %v", got)
	}
	if got = reasons(template.Kept{Images: images, Bytes: 1 << 40}, now.Add(saved.MaxAge+time.Hour)); len(got) != 5 {
		t.Errorf("too old: %v", got)
	}
	// A template that is being made stays.
	lock, err := h.AcquireTemplates()
	if err != nil {
		t.Fatal(err)
	}
	if got = reasons(template.Kept{Images: images, Bytes: 1 << 40}, now); len(got) != 1 {
		t.Errorf("while one is made: %v", got)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if err := template.Clear(h, unfinished); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(string(h.Template(unfinished))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}

func TestATemplateInUseIsNotRemoved(t *testing.T) {
	h := home.Home(t.TempDir())
	made := complete(t, h, demo(2), "sha256:a", time.Now())
	reader, err := template.Dir(h, made.Key).ShareSnapshots()
	if err != nil {
		t.Fatal(err)
	}
	if err := template.Remove(h, made.Key); !errors.Is(err, home.ErrLocked) {
		t.Errorf("while a cluster begins with it: %v", err)
	}
	if err := reader.Release(); err != nil {
		t.Fatal(err)
	}
	unfinished := begin(t, h, demo(3), "sha256:a")
	daemon, err := template.Dir(h, unfinished).Acquire()
	if err != nil {
		t.Fatal(err)
	}
	if err := template.Remove(h, unfinished); !errors.Is(err, home.ErrLocked) {
		t.Errorf("while it is made: %v", err)
	}
	if err := template.Clear(h, unfinished); !errors.Is(err, home.ErrLocked) {
		t.Errorf("cleared while it is made: %v", err)
	}
	if err := errors.Join(daemon.Release(), template.Remove(h, unfinished), template.Remove(h, made.Key)); err != nil {
		t.Error(err)
	}
}
