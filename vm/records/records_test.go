package records

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/home"
)

func recorded(t *testing.T, h home.Home, name, content string) home.Cluster {
	t.Helper()
	dir := h.Cluster(name)
	if err := os.MkdirAll(filepath.Join(dir.Records(), "metrics"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir.Records(), "metrics", "file"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestKeptRecordsAreFoundByClusterAndByID(t *testing.T) {
	h := home.Home(t.TempDir())
	now := time.Date(2026, 11, 29, 19, 17, 11, 0, time.UTC)
	var ids []string
	for _, content := range []string{"first", "second"} {
		id, err := Keep(recorded(t, h, "demo", content), now) // twice within a second
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if ids[0] != "demo.20261129T191711Z" || ids[1] != "demo.20261129T191712Z" {
		t.Fatalf("IDs %q", ids)
	}
	for name, want := range map[string]string{"demo": "second", ids[0]: "first", ids[1]: "second"} {
		kept, err := Find(h, name)
		if err != nil {
			t.Fatal(err)
		}
		if content, err := os.ReadFile(filepath.Join(kept.Directory, "metrics", "file")); err != nil || string(content) != want {
			t.Errorf("%s: %q, %v", name, content, err)
		}
		if kept.Bytes == 0 {
			t.Errorf("%s has no size", name)
		}
	}
	if _, err := Find(h, "other"); !errors.Is(err, ErrNone) {
		t.Errorf("a cluster without records: %v", err)
	}
	if err := Remove(h, ids[1]); err != nil {
		t.Fatal(err)
	}
	if kept, err := Find(h, "demo"); err != nil || kept.ID != ids[0] {
		t.Errorf("after a removal: %v, %v", kept, err)
	}
}

func TestAClusterWithoutRecordsLeavesNothing(t *testing.T) {
	h := home.Home(t.TempDir())
	dir := h.Cluster("demo")
	for range 2 {
		if id, err := Keep(dir, time.Now()); err != nil || id != "" {
			t.Errorf("kept %q, %v", id, err)
		}
		if err := os.MkdirAll(dir.Records(), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := List(h); err != nil || len(all) != 0 {
		t.Errorf("listed %v, %v", all, err)
	}
}

func TestTheOldestRecordsMakeRoom(t *testing.T) {
	h := home.Home(t.TempDir())
	now := time.Now()
	for i := range MaxKept + 3 {
		if _, err := Keep(recorded(t, h, fmt.Sprintf("c%d", i), "x"), now.Add(time.Duration(i)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := List(h)
	if err != nil || len(all) != MaxKept || all[0].Cluster != fmt.Sprintf("c%d", MaxKept+2) || all[MaxKept-1].Cluster != "c3" {
		t.Errorf("%d records, %v: %v", len(all), err, all)
	}
}

func TestOnlyIDsAreRemoved(t *testing.T) {
	h := home.Home(t.TempDir())
	if err := os.MkdirAll(filepath.Join(h.Records(), "foreign"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", ".", "..", "foreign", "../clusters", "a.b", "a/b.20261129T191711Z", ".20261129T191711Z"} {
		if err := Remove(h, id); err == nil {
			t.Errorf("removed %q", id)
		}
	}
	if all, err := List(h); err != nil || len(all) != 0 {
		t.Errorf("listed %v, %v", all, err)
	}
}
