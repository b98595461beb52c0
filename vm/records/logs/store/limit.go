package store

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/app/vlstorage"
	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/skiff-dev/skiff/internal/pause"
)

const (
	// checkEvery is how often the size is compared with the limit.
	checkEvery = 10 * time.Second
	// trim is the part of the size that is deleted at once: deleting rewrites files.
	trim = 4
	// ageEvery is how often rows that are too old are deleted, in parts of the age.
	ageEvery = 8
)

// Keep deletes the oldest rows while the store is too large or they are too old, until
// ctx ends. The library itself deletes whole days, and always keeps two.
func (s *Store) Keep(ctx context.Context, log *slog.Logger) {
	aged := time.Now()
	for pause.For(ctx, checkEvery) == nil {
		now := time.Now()
		size := Size(s.dir)
		var before time.Time
		if every := max(s.age/ageEvery, 10*time.Minute); now.Sub(aged) >= every {
			aged, before = now, now.Add(-s.age)
		}
		if size > s.limit {
			cut, err := s.quantile(ctx, now)
			if err != nil {
				log.Warn("bound the log store", "error", err)
				continue
			}
			if cut.After(before) {
				before = cut
			}
			log.Info("the log store deletes its oldest entries", "bytes", size, "limit", s.limit, "before", before)
		}
		if before.IsZero() {
			continue
		}
		if err := s.delete(ctx, now, before); err != nil && ctx.Err() == nil {
			log.Warn("delete old logs", "error", err)
		}
	}
}

// quantile returns the time before which the part of the rows lies that is deleted at
// once.
func (s *Store) quantile(ctx context.Context, now time.Time) (time.Time, error) {
	q, err := logstorage.ParseQuery("* | stats quantile(" + strconv.FormatFloat(1.0/trim, 'f', 2, 64) + ", _time) at")
	if err != nil {
		return time.Time{}, err
	}
	var text string
	err = run(ctx, q, func(_ uint, block *logstorage.DataBlock) {
		if column := block.GetColumnByName("at"); column != nil && len(column.Values) > 0 {
			text = strings.Clone(column.Values[0]) // the library reuses it
		}
	})
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.After(now) {
		return time.Time{}, fmt.Errorf("the log store has no time for a part of its entries: %q", text)
	}
	return at, nil
}

// delete deletes rows before a time, and waits until that is done.
func (s *Store) delete(ctx context.Context, now, before time.Time) error {
	filter, err := logstorage.ParseFilter("_time:<" + before.UTC().Format(time.RFC3339Nano))
	if err != nil {
		return err
	}
	id := "skiff-" + strconv.FormatInt(now.UnixNano(), 36)
	if err := vlstorage.DeleteRunTask(ctx, id, now.UnixNano(), []logstorage.TenantID{{}}, filter); err != nil {
		return err
	}
	for {
		active, err := vlstorage.DeleteActiveTasks(ctx)
		if err != nil || len(active) == 0 {
			return err
		}
		if err := pause.For(ctx, time.Second); err != nil {
			return err
		}
	}
}

// Size returns how many bytes the files below a directory have.
func Size(dir string) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // deleted meanwhile
		}
		if info, err := entry.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size
}
