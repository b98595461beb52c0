package etcd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// Snapshots that a member keeps on its own.
const (
	snapshotEvery = 6 * time.Hour
	snapshotRetry = 10 * time.Minute
	keepSnapshots = 8
	keepFor       = 14 * 24 * time.Hour
	snapshotStamp = "20060102T150405Z"
	snapshotEnd   = ".db"
)

// Expired are those of the snapshots called names that need not be kept at now:
// all but the newest keepSnapshots, and what is older than keepFor, but never
// the newest of all. Other files are no snapshots.
func Expired(names []string, now time.Time) []string {
	var times []time.Time
	named := map[time.Time]string{}
	for _, name := range names {
		if at, ok := taken(name); ok {
			times = append(times, at)
			named[at] = name
		}
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	var expired []string
	for i, at := range times {
		if i > 0 && (i >= keepSnapshots || now.Sub(at) > keepFor) {
			expired = append(expired, named[at])
		}
	}
	return expired
}

// taken is when the snapshot of that name was taken.
func taken(name string) (time.Time, bool) {
	stamp, ok := strings.CutSuffix(name, snapshotEnd)
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(snapshotStamp, stamp)
	return at, err == nil
}

// KeepSnapshots takes snapshots into dir, now and then, until ctx ends. What
// fails is tried again: a snapshot is worth less than a cluster that runs.
func (m *Member) KeepSnapshots(ctx context.Context, dir string, log *slog.Logger) {
	for {
		wait, err := m.keepSnapshot(ctx, dir, time.Now())
		if err != nil && ctx.Err() == nil {
			log.Warn("cannot keep a snapshot of etcd", "error", err)
			wait = snapshotRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// keepSnapshot takes a snapshot if the newest is old enough, and returns when
// the next is due.
func (m *Member) keepSnapshot(ctx context.Context, dir string, now time.Time) (time.Duration, error) {
	if err := os.MkdirAll(dir, stateDirMode); err != nil {
		return 0, fmt.Errorf("make the directory of snapshots: %w", err)
	}
	names, err := list(dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if at, ok := taken(name); ok && now.Sub(at) >= 0 && now.Sub(at) < snapshotEvery {
			return snapshotEvery - now.Sub(at), nil
		}
	}
	name := now.UTC().Format(snapshotStamp) + snapshotEnd
	if err := m.save(ctx, filepath.Join(dir, name)); err != nil {
		return 0, err
	}
	for _, old := range Expired(append(names, name), now) {
		if err := os.Remove(filepath.Join(dir, old)); err != nil {
			return 0, fmt.Errorf("remove an old snapshot: %w", err)
		}
	}
	return snapshotEvery, nil
}

func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// save writes a snapshot whole or not at all.
func (m *Member) save(ctx context.Context, path string) (err error) {
	c := m.NewClient()
	defer func() { _ = c.Close() }()
	snapshot, err := c.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	defer snapshot.Close()
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	defer f.Discard()
	if _, err := io.Copy(f, snapshot); err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	if err := f.Commit(); err != nil {
		return fmt.Errorf("take a snapshot: %w", err)
	}
	return nil
}
