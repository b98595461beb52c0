package store

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/app/vlstorage"
	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/records"
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
	var aged time.Time // when rows that are too old were deleted last
	for pause.For(ctx, checkEvery) == nil {
		now := time.Now()
		due := now.Sub(aged).Abs() >= max(s.age/ageEvery, 10*time.Minute)
		if due {
			aged = now
		}
		if err := s.bound(ctx, now, due, log); err != nil && ctx.Err() == nil {
			log.Warn("delete the oldest logs", "error", err)
		}
	}
}

// bound deletes a part of the rows if the store is too large, and, if that is due, those
// that are too old.
func (s *Store) bound(ctx context.Context, now time.Time, due bool, log *slog.Logger) error {
	var before time.Time
	if due {
		before = now.Add(-s.age)
	}
	if size := records.Size(s.dir); size > s.limit {
		cut, err := s.quantile(ctx)
		if err != nil {
			return err
		}
		if cut.After(before) {
			before = cut
		}
		log.Info("the log store deletes its oldest entries", "bytes", size, "limit", s.limit, "before", before)
	}
	if before.IsZero() {
		return nil
	}
	return s.delete(ctx, now, before)
}

// quantile returns the time before which the part of the rows lies that is deleted at
// once.
func (s *Store) quantile(ctx context.Context) (time.Time, error) {
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
	if err != nil {
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
	// The library deletes nothing that is later than the task. Rows can be, after a clock
	// was set back.
	at := max(now.UnixNano(), before.UnixNano())
	if err := vlstorage.DeleteRunTask(ctx, id, at, []logstorage.TenantID{{}}, filter); err != nil {
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
