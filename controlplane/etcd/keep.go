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

// Snapshots that a member takes by itself.
const (
	snapshotEvery = 6 * time.Hour
	snapshotRetry = 10 * time.Minute
	keepSnapshots = 8
	keepFor       = 14 * 24 * time.Hour
	snapshotStamp = "20060102T150405Z"
	snapshotEnd   = ".db"
)

// Expired returns the names of snapshots to delete at now: all but the newest
// keepSnapshots, and those older than keepFor, but never the newest one. It ignores
// names of other files.
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

// taken returns when the snapshot with that name was taken.
func taken(name string) (time.Time, bool) {
	stamp, ok := strings.CutSuffix(name, snapshotEnd)
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(snapshotStamp, stamp)
	return at, err == nil
}

// KeepSnapshots takes snapshots into dir every snapshotEvery until ctx ends. It
// logs failures and retries, because the cluster works without snapshots.
func (m *Member) KeepSnapshots(ctx context.Context, dir string, log *slog.Logger) {
	for {
		wait, err := m.keepSnapshot(ctx, dir, time.Now())
		if err != nil && ctx.Err() == nil {
			log.Warn("cannot take a snapshot of etcd", "error", err)
			wait = snapshotRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// keepSnapshot takes a snapshot if the newest one is old enough, and returns the
// time until the next one is due.
func (m *Member) keepSnapshot(ctx context.Context, dir string, now time.Time) (time.Duration, error) {
	if err := os.MkdirAll(dir, stateDirMode); err != nil {
		return 0, fmt.Errorf("create the snapshot directory: %w", err)
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

// save writes a complete snapshot or nothing.
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
