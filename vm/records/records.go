// Package records keeps what was recorded of clusters that no longer exist. While a
// cluster exists, its records are in its own directory, one subdirectory for each kind
// (packages below this one). A removal that keeps them moves them to a directory that
// all deleted clusters share.
package records

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/owner"
	"github.com/skiff-dev/skiff/vm/home"
)

// MaxKept is how many deleted clusters have records. Those of the one that was deleted
// first make room for new ones.
const MaxKept = 20

// stamp is the time in the ID of kept records. A cluster's name has no dot, so the ID
// can be split again.
const stamp = "20060102T150405Z"

// ErrNone reports that a deleted cluster has no records.
var ErrNone = errors.New("no records are kept")

// Kept are the records of a deleted cluster.
type Kept struct {
	// ID is the cluster's name and the time of its removal: "demo.20261129T191711Z".
	ID      string    `json:"id"`
	Cluster string    `json:"cluster"`
	Removed time.Time `json:"removed"`
	Bytes   int64     `json:"bytes"`
	// Directory has the subdirectories that the cluster's records had.
	Directory string `json:"directory"`
}

// Keep moves the records of a cluster that is about to be removed, and returns their
// ID. It is empty if nothing was recorded. The caller holds the cluster's lock, and no
// process writes records any more.
func Keep(dir home.Cluster, now time.Time) (string, error) {
	entries, err := os.ReadDir(dir.Records())
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("keep the records of %s: %w", dir.Name(), err)
	}
	all := dir.Home().Records()
	if err := owner.MkdirAll(all, 0o700); err != nil {
		return "", fmt.Errorf("keep the records of %s: %w", dir.Name(), err)
	}
	id := freeID(all, dir.Name(), now)
	if err := os.Rename(dir.Records(), filepath.Join(all, id)); err != nil {
		return "", fmt.Errorf("keep the records of %s: %w", dir.Name(), err)
	}
	if err := atomicfile.SyncDir(all); err != nil {
		return "", fmt.Errorf("keep the records of %s: %w", dir.Name(), err)
	}
	return id, makeRoom(dir.Home())
}

// freeID returns an ID that is not in use.
func freeID(all, cluster string, now time.Time) string {
	for ; ; now = now.Add(time.Second) {
		id := cluster + "." + now.UTC().Format(stamp)
		if _, err := os.Lstat(filepath.Join(all, id)); errors.Is(err, fs.ErrNotExist) {
			return id
		}
	}
}

// makeRoom removes the oldest records beyond MaxKept.
func makeRoom(h home.Home) error {
	all, err := List(h)
	if err != nil {
		return err
	}
	for _, kept := range all[min(MaxKept, len(all)):] {
		if err := Remove(h, kept.ID); err != nil {
			return err
		}
	}
	return nil
}

// List returns the records of deleted clusters, those of the last removal first.
// Directories that are not named by Keep are not listed.
func List(h home.Home) ([]Kept, error) {
	entries, err := os.ReadDir(h.Records())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the records of deleted clusters: %w", err)
	}
	var all []Kept
	for _, entry := range entries {
		cluster, removed, ok := parseID(entry.Name())
		if !ok || !entry.IsDir() {
			continue
		}
		dir := filepath.Join(h.Records(), entry.Name())
		all = append(all, Kept{ID: entry.Name(), Cluster: cluster, Removed: removed, Bytes: Size(dir), Directory: dir})
	}
	slices.SortFunc(all, func(a, b Kept) int {
		if byTime := b.Removed.Compare(a.Removed); byTime != 0 {
			return byTime
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

// Find returns the records with an ID, or else the last ones of a cluster of that name.
// The error wraps ErrNone if there are none.
func Find(h home.Home, name string) (Kept, error) {
	all, err := List(h)
	if err != nil {
		return Kept{}, err
	}
	for _, kept := range all {
		if kept.ID == name || kept.Cluster == name {
			return kept, nil
		}
	}
	return Kept{}, fmt.Errorf("%s: %w", name, ErrNone)
}

// Remove deletes the records with an ID. Removing records that do not exist does
// nothing.
func Remove(h home.Home, id string) error {
	if _, _, ok := parseID(id); !ok {
		return fmt.Errorf("remove records: invalid ID %q", id)
	}
	if err := os.RemoveAll(filepath.Join(h.Records(), id)); err != nil {
		return fmt.Errorf("remove the records %s: %w", id, err)
	}
	return nil
}

// parseID splits an ID. ok is false if id is not an ID.
func parseID(id string) (cluster string, removed time.Time, ok bool) {
	cluster, at, found := strings.Cut(id, ".")
	if !found || cluster == "" || filepath.Base(id) != id {
		return "", time.Time{}, false
	}
	removed, err := time.Parse(stamp, at)
	return cluster, removed, err == nil
}

// Size returns how many bytes the files below a directory use on disk, 0 if it does not
// exist. Files that disappear meanwhile do not count.
func Size(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			total += allocated(info)
		}
		return nil
	})
	return total
}
