package home_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/vm/home"
)

func TestPresenceTellsWhatADirectoryHolds(t *testing.T) {
	for name, test := range map[string]struct {
		files []string
		want  home.Presence
	}{
		"no directory":             {nil, home.Absent},
		"only the daemon's files":  {[]string{"daemon.log", "daemon.lock"}, home.Absent},
		"state":                    {[]string{"cluster.json", "pki/ca.key"}, home.Present},
		"certificates":             {[]string{"pki/ca.key"}, home.Orphaned},
		"machines":                 {[]string{"vm/worker-1/disk"}, home.Orphaned},
		"state under another name": {[]string{"cluster.json.corrupt-20260102T030405Z"}, home.Orphaned},
		"interrupted removal":      {[]string{"cluster.json.removing", "vm/worker-1/disk"}, home.Removing},
	} {
		dir := home.Home(t.TempDir()).Cluster("demo")
		for _, file := range test.files {
			path := filepath.Join(string(dir), file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := dir.Presence(); err != nil || got != test.want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, test.want)
		}
	}
}

func TestPresenceIsUnknownWhenTheDirectoryCannotBeRead(t *testing.T) {
	root := t.TempDir()
	// A file in place of the directory: ENOTDIR, as a broken mount may report EIO.
	if err := os.WriteFile(filepath.Join(root, "clusters"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := home.Home(root).Cluster("demo").Presence(); err == nil {
		t.Errorf("presence %s without an error", got)
	}
}
