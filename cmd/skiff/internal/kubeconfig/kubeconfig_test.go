package kubeconfig

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

const users = `# mine, keep it
apiVersion: v1
kind: Config
preferences: {}
current-context: work # the usual one
clusters:
- name: work
  cluster:
    server: https://work.example:6443
    x-unknown: kept
contexts:
- name: work
  context:
    cluster: work
    user: me
users:
- name: me
  user:
    token: secret
`

func admin(cluster string) []byte {
	name := Context(cluster)
	return []byte(`apiVersion: v1
kind: Config
current-context: ` + name + `
clusters: [{name: ` + name + `, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: YQ==}}]
contexts: [{name: ` + name + `, context: {cluster: ` + name + `, user: ` + name + `}}]
users: [{name: ` + name + `, user: {client-certificate-data: YQ==, client-key-data: YQ==}}]
`)
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if content != "" {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func content(t *testing.T, path string) string {
	t.Helper()
	c, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(c)
}

func merge(t *testing.T, path, cluster string) {
	t.Helper()
	if err := Merge(t.Context(), path, admin(cluster)); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path, cluster string) {
	t.Helper()
	if err := Remove(t.Context(), path, Context(cluster)); err != nil {
		t.Fatal(err)
	}
}

func current(t *testing.T, path string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := clientcmd.ConfirmUsable(*config, ""); config.CurrentContext != "" && err != nil {
		t.Fatal(err)
	}
	return config.CurrentContext
}

func TestRemoveRestoresTheFile(t *testing.T) {
	path := file(t, users)
	merge(t, path, "a")
	merged := content(t, path)
	for _, kept := range []string{"# mine, keep it", "x-unknown: kept", "https://work.example:6443", "token: secret"} {
		if !strings.Contains(merged, kept) {
			t.Errorf("lost %q:\n%s", kept, merged)
		}
	}
	if got := current(t, path); got != "skiff-a" {
		t.Errorf("current context %q", got)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v", info.Mode())
	}
	if content(t, path+BackupSuffix) != users {
		t.Error("the backup is not the file as it was")
	}
	remove(t, path, "a")
	if got := content(t, path); got != users {
		t.Errorf("not restored:\n%s", got)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestMergeTwiceWritesOnce(t *testing.T) {
	path := file(t, users)
	merge(t, path, "a")
	first, _ := os.Stat(path)
	merge(t, path, "a")
	second, _ := os.Stat(path)
	if !os.SameFile(first, second) {
		t.Error("the second merge replaced the file")
	}
	if content(t, path+BackupSuffix) != users {
		t.Error("the second merge overwrote the backup")
	}
}

func TestRemoveRestoresTheContextThatWasCurrent(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps func(path string)
		want  string
	}{
		{"last in, first out", func(p string) { merge(t, p, "a"); merge(t, p, "b"); remove(t, p, "b") }, "skiff-a"},
		{"first in, first out", func(p string) { merge(t, p, "a"); merge(t, p, "b"); remove(t, p, "a") }, "skiff-b"},
		{"all out, in order", func(p string) { merge(t, p, "a"); merge(t, p, "b"); remove(t, p, "a"); remove(t, p, "b") }, "work"},
		{"all out, reversed", func(p string) { merge(t, p, "a"); merge(t, p, "b"); remove(t, p, "b"); remove(t, p, "a") }, "work"},
		{"merged again", func(p string) { merge(t, p, "a"); merge(t, p, "a"); remove(t, p, "a") }, "work"},
		{"first again", func(p string) {
			merge(t, p, "a")
			merge(t, p, "b")
			merge(t, p, "a")
			remove(t, p, "b")
			remove(t, p, "a")
		}, "work"},
		{"first again and out", func(p string) { merge(t, p, "a"); merge(t, p, "b"); merge(t, p, "a"); remove(t, p, "a") }, "skiff-b"},
		{"absent", func(p string) { remove(t, p, "a") }, "work"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := file(t, users)
			c.steps(path)
			if got := current(t, path); got != c.want {
				t.Errorf("current context %q, want %q\n%s", got, c.want, content(t, path))
			}
		})
	}
}

func TestRemoveLeavesNoDanglingCurrentContext(t *testing.T) {
	path := file(t, users)
	merge(t, path, "a")
	gone := strings.Replace(content(t, path), "- name: work\n  context:", "- name: other\n  context:", 1)
	if err := os.WriteFile(path, []byte(gone), 0o600); err != nil {
		t.Fatal(err)
	}
	remove(t, path, "a")
	if got := current(t, path); got != "" {
		t.Errorf("current context %q", got)
	}
}

func TestACreatedFileIsDeletedWithTheLastCluster(t *testing.T) {
	path := file(t, "")
	merge(t, path, "a")
	merge(t, path, "b")
	remove(t, path, "a")
	remove(t, path, "b")
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestABrokenFileIsReportedAndUnchanged(t *testing.T) {
	for _, broken := range []string{"clusters: [", "hello", "clusters: 3\n", "kind: Pod\napiVersion: v1\n", "clusters: &a []\ncontexts: *a\n"} {
		path := file(t, broken)
		err := Merge(t.Context(), path, admin("a"))
		var failure *daemonapi.Failure
		if !errors.As(err, &failure) || strings.Contains(failure.Cause, "\n") {
			t.Errorf("%q: %v", broken, err)
		}
		if content(t, path) != broken {
			t.Errorf("%q was changed", broken)
		}
	}
}

func TestJSONAndEmptyListsAreKept(t *testing.T) {
	for _, before := range []string{
		`{"apiVersion":"v1","kind":"Config","clusters":[],"contexts":[],"users":[],"current-context":""}`,
		"apiVersion: v1\nclusters: null\ncontexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {}\nusers: null\n",
	} {
		path := file(t, before)
		merge(t, path, "a")
		if got := current(t, path); got != "skiff-a" {
			t.Errorf("current context %q", got)
		}
	}
}

func TestALinkStaysALink(t *testing.T) {
	path := file(t, users)
	link := filepath.Join(t.TempDir(), "config")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	merge(t, link, "a")
	if info, _ := os.Lstat(link); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced by a file")
	}
	if current(t, path) != "skiff-a" {
		t.Error("the file behind the link was not changed")
	}
}

func TestConcurrentMergesLoseNothing(t *testing.T) {
	path := file(t, users)
	names := []string{"a", "b", "c", "d", "e", "f"}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			if err := Merge(t.Context(), path, admin(name)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	config, err := clientcmd.LoadFromFile(path)
	if err != nil || len(config.Contexts) != len(names)+1 {
		t.Errorf("%d contexts, %v", len(config.Contexts), err)
	}
}

func TestALockOfKubectlIsRespectedAndOneOfADeadSkiffIsRemoved(t *testing.T) {
	path := file(t, users)
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*lockInterval)
	defer cancel()
	err := Merge(ctx, path, admin("a"))
	if err == nil || !strings.Contains(err.Error(), "another program is changing") || content(t, path) != users {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path+".lock", []byte(lockMark), 0o600); err != nil {
		t.Fatal(err)
	}
	merge(t, path, "a")
}
