package home

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"testing"
)

func TestSudoFindsTheDirectoryOfItsUser(t *testing.T) {
	other, err := user.LookupId("1")
	if err != nil {
		t.Skip("this host has no user 1")
	}
	t.Setenv("HOME", "/home/own")
	t.Setenv("SKIFF_HOME", "")
	own := Home("/home/own/.skiff")
	with := []Home{Home(filepath.Join(other.HomeDir, ".skiff")), own}
	if os.Geteuid() != 0 {
		with = []Home{own}
	}
	for _, c := range []struct {
		id, home string
		want     []Home
	}{
		{"", "", []Home{own}}, {"0", "", []Home{own}}, {"1", "", with}, {"1", "/srv/skiff", []Home{"/srv/skiff"}},
	} {
		t.Setenv("SUDO_UID", c.id)
		t.Setenv("SKIFF_HOME", c.home)
		if got, err := Invokers(); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("SUDO_UID=%s SKIFF_HOME=%s: got %v, %v; want %v", c.id, c.home, got, err, c.want)
		}
	}
}

func TestAClusterBelongsToTheOwnerOfItsDirectory(t *testing.T) {
	dir := Home(t.TempDir()).Cluster("dev")
	if _, err := dir.Owner(); err == nil {
		t.Error("a cluster that does not exist has an owner")
	}
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := dir.Owner(); err != nil || got != os.Geteuid() {
		t.Errorf("got %d, %v", got, err)
	}
}
