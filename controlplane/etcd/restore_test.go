package etcd_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/controlplane/etcd"
)

// prepared returns the settings of a stopped member whose key "k" has the value
// "new", and a snapshot in which it has the value "old".
func prepared(t *testing.T) (etcd.Settings, []byte) {
	t.Helper()
	m, s := running(t, t.TempDir())
	if err := m.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var snapshot bytes.Buffer
	for _, value := range []string{"old", "new"} {
		c := m.NewClient()
		if _, err := c.Put(t.Context(), "k", value); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if value == "old" {
			if err := s.Snapshot(t.Context(), &snapshot); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.Stop()
	return s, snapshot.Bytes()
}

// value starts the member and returns the value of its key "k" and the ID of its
// cluster.
func value(t *testing.T, s etcd.Settings) (value, cluster string) {
	t.Helper()
	m, err := etcd.Start(t.Context(), s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Stop()
	if err := m.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := m.NewClient()
	defer func() { _ = c.Close() }()
	got, err := c.Get(t.Context(), "k")
	if err != nil || len(got.Kvs) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	return string(got.Kvs[0].Value), m.ClusterID()
}

// stepsOfReplace are the states of the disk that a crash of Replace leaves behind,
// made from a member that has been replaced.
var stepsOfReplace = map[string]func(t *testing.T, dir string){
	"after the data was prepared": func(t *testing.T, dir string) {
		move(t, dir, dir+".fresh")
		move(t, dir+".before", dir)
	},
	"after the old data was moved": func(t *testing.T, dir string) { move(t, dir, dir+".fresh") },
	"after the new data was moved": func(*testing.T, string) {},
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func replaced(t *testing.T, s etcd.Settings, snapshot []byte, id string) {
	t.Helper()
	if _, err := s.Stage(t.Context(), bytes.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Hold(id), s.Replace(id)); err != nil {
		t.Fatal(err)
	}
}

func TestACrashedReplacementIsFinishedOrReverted(t *testing.T) {
	for name, crash := range stepsOfReplace {
		s, snapshot := prepared(t)
		_, original := value(t, s)
		for _, undo := range []bool{true, false} {
			replaced(t, s, snapshot, name)
			crash(t, s.Dir)
			if _, err := etcd.Start(t.Context(), s, slog.New(slog.DiscardHandler)); err == nil {
				t.Fatalf("%s: a held member starts", name)
			}
			do, want := s.Replace, "old"
			if undo {
				do, want = s.Revert, "new"
			}
			for range 2 {
				if err := do(name); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if undo {
				if left, err := filepath.Glob(s.Dir + ".*"); err != nil || strings.Join(left, " ") != s.Dir+".held" {
					t.Errorf("%s: left behind: %v, %v", name, left, err)
				}
			}
			if err := s.Release(name, ""); err != nil {
				t.Fatal(err)
			}
			got, cluster := value(t, s)
			if got != want || (cluster == original) != undo {
				t.Errorf("%s, undo %v: value %q, want %q; cluster %s, before %s", name, undo, got, want, cluster, original)
			}
		}
	}
}

func TestEveryRestoreRaisesTheRevision(t *testing.T) {
	s, snapshot := prepared(t)
	var last int64
	for _, id := range []string{"first", "second", "third"} {
		replaced(t, s, snapshot, id)
		if err := s.Release(id, ""); err != nil {
			t.Fatal(err)
		}
		m, err := etcd.Start(t.Context(), s, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := m.NewClient()
		written, err := c.Put(t.Context(), "k", id)
		_ = c.Close()
		m.Stop()
		if err != nil || written.Header.Revision <= last {
			t.Errorf("%s restore of the same snapshot: revision %d, before %d, %v", id, written.Header.Revision, last, err)
		}
		last = written.Header.Revision
	}
}

func TestARefusedSnapshotLeavesTheMemberAsItWas(t *testing.T) {
	s, snapshot := prepared(t)
	for name, content := range map[string][]byte{"nothing": nil, "noise": []byte("noise"), "a part": snapshot[:len(snapshot)/2], "no checksum": snapshot[:len(snapshot)-32]} {
		if _, err := s.Stage(t.Context(), bytes.NewReader(content)); !errors.Is(err, controlapi.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Hold("one"); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"replaced without a snapshot":    s.Replace("one"),
		"replaced by another restore":    s.Replace("two"),
		"released by another restore":    s.Release("two", ""),
		"replaced by one without a name": s.Replace(""),
	} {
		if !errors.Is(err, controlapi.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 {
		if err := s.Release("one", ""); err != nil {
			t.Error(err)
		}
	}
	if left, err := filepath.Glob(s.Dir + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if got, _ := value(t, s); got != "new" {
		t.Errorf("value %q", got)
	}
}

// A snapshot that was prepared for a restore that is gone must not be used by
// another one.
func TestASnapshotOfAnotherRestoreIsNotUsed(t *testing.T) {
	s, old := prepared(t)
	replaced(t, s, old, "one")
	stepsOfReplace["after the data was prepared"](t, s.Dir)
	if err := s.Release("one", ""); err != nil {
		t.Fatal(err)
	}
	m, _ := running(t, filepath.Dir(s.Dir))
	if err := m.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var fresh bytes.Buffer
	if err := s.Snapshot(t.Context(), &fresh); err != nil {
		t.Fatal(err)
	}
	m.Stop()
	replaced(t, s, fresh.Bytes(), "two")
	if err := s.Release("two", ""); err != nil {
		t.Fatal(err)
	}
	if got, _ := value(t, s); got != "new" {
		t.Errorf("value %q of the wrong snapshot", got)
	}
}
