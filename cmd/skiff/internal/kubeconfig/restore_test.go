package kubeconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestRemoveRestoresEveryByte(t *testing.T) {
	files := map[string]string{
		"no newline at the end": strings.TrimSuffix(users, "\n"),
		"empty lists":           "apiVersion: v1\nclusters: []\ncontexts: []\ncurrent-context: \"\"\nkind: Config\npreferences: {}\nusers: []\n",
		"null":                  "apiVersion: v1\nclusters: null\ncontexts: ~\ncurrent-context:\nkind: Config\nusers:\n",
		"nothing":               "",
		"braces":                "{}",
		"spaced JSON":           "{\n  \"kind\": \"Config\",\n  \"apiVersion\": \"v1\",\n  \"clusters\": [\n    {\"name\": \"x\", \"cluster\": {}}\n  ],\n  \"current-context\": \"\"\n}\n",
		"a marker":              "---\napiVersion: v1\nkind: Config\n",
		"only a marker":         "# here\n---\n",
		"indented lists":        "clusters:\n    # the first\n    - name: x # one\n      cluster: {server: 'https://x'}\ncurrent-context: 'x'   # two\n\n\n",
		"literal blocks":        "clusters:\n- name: x\n  cluster:\n    server: https://x\n    certificate-authority-data: |\n      YQ==\nusers:\n- name: me\n  user:\n    token: \"a # b\\\" ]\"\n",
		"comments after keys":   "clusters: # none\ncontexts: # none\nkind: Config\n",
		"blank":                 "\n\n",
		"no line end, no keys":  "# nothing",
	}
	cases, err := filepath.Glob("testdata/*")
	if err != nil || len(cases) < 8 {
		t.Fatal(cases, err)
	}
	for _, path := range cases {
		if filepath.Base(path) != "fuzz" {
			files[path] = content(t, path)
		}
	}
	for name, before := range files {
		for order, steps := range map[string][]string{"one": {"+a", "-a"}, "nested": {"+a", "+b", "-b", "-a"}, "crossed": {"+a", "+b", "-a", "-b"}, "three": {"+b", "+a", "+c", "-b", "-c", "-a"},
			"first again": {"+a", "+b", "+a", "-b", "-a"}, "first again, crossed": {"+a", "+b", "+a", "-a", "-b"},
			"in turns": {"+a", "+b", "+c", "+a", "+b", "-c", "-a", "-b"}} {
			t.Run(name+"/"+order, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "config")
				if err := os.WriteFile(path, []byte(before), 0o640); err != nil {
					t.Fatal(err)
				}
				for _, step := range steps {
					if step[0] == '+' {
						merge(t, path, step[1:])
						if got := current(t, path); got != Context(step[1:]) {
							t.Fatalf("current context %q\n%s", got, content(t, path))
						}
					} else {
						remove(t, path, step[1:])
					}
				}
				if got := content(t, path); got != before {
					t.Errorf("got\n%q\nwant\n%q", got, before)
				}
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
					t.Errorf("mode %v, %v", info.Mode(), err)
				}
				if _, err := os.Stat(path + BackupSuffix); err == nil {
					t.Error("the backup is left behind")
				}
			})
		}
	}
}

func TestMergedJSONIsJSON(t *testing.T) {
	path := file(t, content(t, "testdata/config.json"))
	merge(t, path, "a")
	var decoded map[string]any
	if err := json.Unmarshal([]byte(content(t, path)), &decoded); err != nil || decoded["current-context"] != "skiff-a" {
		t.Errorf("%v\n%s", err, content(t, path))
	}
}

func TestContextOfAnotherFileIsCurrentAgain(t *testing.T) {
	for _, first := range []string{"00-prefs", "with-entries-first"} {
		dir := t.TempDir()
		paths := []string{filepath.Join(dir, first), filepath.Join(dir, "10-customer1")}
		for _, path := range paths {
			if err := os.WriteFile(path, []byte(content(t, filepath.Join("testdata", filepath.Base(path)))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("KUBECONFIG", strings.Join(paths, ":"))
		path, err := UserPath()
		if err != nil || path != paths[0] {
			t.Fatalf("%s, %v", path, err)
		}
		merge(t, path, "a")
		remove(t, path, "a")
		config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
		if err != nil || config.CurrentContext != "customer1-production" {
			t.Errorf("%s: current context %q, %v", first, config.CurrentContext, err)
		}
	}
}

func TestUserPathIsTheFileThatKubectlWrites(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "b")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string]string{
		filepath.Join(dir, "a") + ":" + there + ":" + filepath.Join(dir, "c"): there,
		filepath.Join(dir, "a") + ":" + filepath.Join(dir, "c"):               filepath.Join(dir, "c"),
	} {
		t.Setenv("KUBECONFIG", list)
		if got, err := UserPath(); got != want || err != nil {
			t.Errorf("%s: %s, %v", list, got, err)
		}
		if got := clientcmd.NewDefaultPathOptions().GetDefaultFilename(); got != want {
			t.Errorf("kubectl uses %s", got)
		}
	}
}

func TestALinkToAMissingFileStaysALink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "config")
	if err := os.Symlink("elsewhere/real", link); err != nil {
		t.Fatal(err)
	}
	merge(t, link, "a")
	if current(t, filepath.Join(dir, "elsewhere", "real")) != "skiff-a" {
		t.Error("the target was not created")
	}
	remove(t, link, "a")
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
}

func TestARootsChangesKeepTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const uid, gid = 12345, 12346
	owner := func(path string) [2]uint32 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		return [2]uint32{stat.Uid, stat.Gid}
	}
	path := file(t, users)
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	merge(t, path, "a")
	for _, name := range []string{path, path + BackupSuffix} {
		if got := owner(name); got != [2]uint32{uid, gid} {
			t.Errorf("%s belongs to %v", name, got)
		}
	}
	remove(t, path, "a")
	if got := owner(path); got != [2]uint32{uid, gid} {
		t.Errorf("after remove it belongs to %v", got)
	}
	home := t.TempDir()
	if err := os.Chown(home, uid, gid); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(home, ".kube", "config")
	merge(t, path, "a")
	for _, name := range []string{filepath.Dir(path), path} {
		if got := owner(name); got != [2]uint32{uid, gid} {
			t.Errorf("%s belongs to %v", name, got)
		}
	}
}

func TestAReadOnlyFileIsReportedAndUnchanged(t *testing.T) {
	path := file(t, users)
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	err := Merge(t.Context(), path, admin("a"))
	var failure *daemonapi.Failure
	if !errors.As(err, &failure) || !strings.Contains(failure.Cause, "read-only") || content(t, path) != users {
		t.Errorf("got %v", err)
	}
}

func TestAUsersNamespaceInOurContextIsKept(t *testing.T) {
	path := file(t, users)
	merge(t, path, "a")
	edited := strings.Replace(content(t, path), "    cluster: skiff-a\n", "    cluster: skiff-a\n    namespace: shop\n", 1)
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	merge(t, path, "b")
	remove(t, path, "b")
	merge(t, path, "a")
	config, err := clientcmd.LoadFromFile(path)
	if err != nil || config.Contexts["skiff-a"].Namespace != "shop" {
		t.Errorf("%v\n%s", err, content(t, path))
	}
}

func TestAFileThatOthersAddedToIsKept(t *testing.T) {
	path := file(t, "")
	merge(t, path, "a")
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	config.Clusters["mine"] = &clientcmdapi.Cluster{Server: "https://mine"}
	if err := clientcmd.WriteToFile(*config, path); err != nil { // as kubectl config does
		t.Fatal(err)
	}
	remove(t, path, "a")
	if got := content(t, path); !strings.Contains(got, "https://mine") || strings.Contains(got, "skiff-a") {
		t.Errorf("got\n%s", got)
	}
}

func FuzzEdit(f *testing.F) {
	f.Add([]byte(users))
	f.Add([]byte("{}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("clusters: [ ]\r\ncontexts:\r\nusers: null"))
	addition, err := clientcmd.Load(admin("a"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, before []byte) {
		e, err := newEditor(before)
		if err != nil || e.config.Contexts["skiff-a"] != nil || e.config.Clusters["skiff-a"] != nil || e.config.AuthInfos["skiff-a"] != nil {
			return
		}
		if _, err := e.merge(addition, false); err != nil {
			return // Merge refuses to write it
		}
		if e, err = newEditor(e.content); err != nil || e.config.CurrentContext != "skiff-a" {
			t.Fatalf("after merge: %v\n%s", err, e.content)
		}
		if _, err := e.remove("skiff-a"); err != nil {
			t.Fatalf("remove: %v\n%q\n%q", err, before, e.content)
		}
		if !bytes.Equal(e.content, before) {
			t.Fatalf("not restored:\n%q\n%q", before, e.content)
		}
	})
}
