// Package store keeps metrics on disk: Prometheus' time series database, limited by age
// and by size. Whatever happens to its files or to the disk, the process that uses it
// lives on: damaged files are set aside, and nothing is written to a disk that is
// nearly full.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
)

const (
	// blockDuration is the time that a block covers at first. Samples that are in no
	// block yet are in memory and in the write-ahead log, at most one and a half times
	// as long.
	blockDuration = time.Hour
	// late is how much older than the newest sample a new one may be.
	late = 10 * time.Minute
	// pageBytes is the unit of the write-ahead log, whose segments have at most
	// maxSegmentBytes: the oldest are deleted as a whole.
	pageBytes       = 32 << 10
	maxSegmentBytes = 4 << 20
	// stripes is the number of locks of the map of series: there are thousands of
	// series, not millions.
	stripes = 1 << 8
	// writeBufferBytes is the buffer of the file with recent chunks.
	writeBufferBytes = 64 << 10
	// maintenancePeriod is how often blocks are written, merged and deleted.
	maintenancePeriod = time.Minute
	// never keeps the database from reading and mapping files in a goroutine of its own,
	// where a panic or a fault would end the process. maintain does all that it would do.
	never = 100 * 365 * 24 * time.Hour
	// maxStale is how many series that have ended are in memory, where they would stay
	// until their block is written.
	maxStale = 5000
	// reserveBytes is what must be free on the disk before anything is recorded:
	// machines need it more.
	reserveBytes = 512 << 20
)

// ErrNoSpace reports that too little space is free on the disk.
var ErrNoSpace = errors.New("too little disk space is free to record metrics")

// ErrClockWentBack reports that the newest samples are from the future.
var ErrClockWentBack = errors.New("the clock went back")

// Config of a Store.
type Config struct {
	// Dir holds the files. It is created if it is missing.
	Dir string
	// Keep is how long samples are kept, MaxBytes how much space they use at most.
	Keep     time.Duration
	MaxBytes int64
	// FreeBytes returns the free space of the disk; nil means that it is not limited.
	FreeBytes func() int64
	Log       *slog.Logger
}

// Store is an open store. Its methods may be called concurrently.
type Store struct {
	config Config
	db     *tsdb.DB
	end    context.CancelFunc
	tasks  sync.WaitGroup
	// SetAside is where an earlier store is that could not be used, and Reason why; both
	// are empty if there is none.
	SetAside, Reason string
}

// Open opens the store, or makes a new one if there is none or the existing one is
// damaged or from the future, which is then set aside. Only one process may have it
// open. An error means that the disk or the directory cannot be used now.
func Open(config Config, now time.Time) (*Store, error) {
	if err := config.checkSpace(); err != nil {
		return nil, err
	}
	s := &Store{config: config}
	db, err := open(config)
	if err == nil && fromFuture(db, now) {
		err = errors.Join(ErrClockWentBack, db.Close())
	}
	if err != nil {
		if environmental(err) {
			return nil, fmt.Errorf("open the metrics in %s: %w", config.Dir, err)
		}
		s.Reason = oneLine(err)
		if s.SetAside, err = setAside(config.Dir); err != nil {
			return nil, err
		}
		if db, err = open(config); err != nil {
			return nil, fmt.Errorf("open new metrics in %s: %w", config.Dir, err)
		}
	}
	s.db = db
	ctx, cancel := context.WithCancel(context.Background())
	s.end = cancel
	s.tasks.Go(func() { s.maintain(ctx) })
	return s, nil
}

// open opens the database. A fault while damaged files are read is an error.
func open(config Config) (db *tsdb.DB, err error) {
	err = guard(func() error {
		if err := os.MkdirAll(config.Dir, 0o700); err != nil {
			return err
		}
		db, err = tsdb.Open(config.Dir, slog.New(warnings{config.Log.Handler()}), nil, config.options(), nil)
		if err == nil {
			db.DisableCompactions() // maintain does them
		}
		return err
	})
	return db, err
}

// options returns the options of the database.
func (c Config) options() *tsdb.Options {
	options := tsdb.DefaultOptions()
	options.RetentionDuration = c.Keep.Milliseconds()
	options.MaxBytes = c.MaxBytes
	options.MinBlockDuration = blockDuration.Milliseconds()
	options.MaxBlockDuration = max(c.Keep/8, blockDuration).Milliseconds()
	options.WALSegmentSize = segmentBytes(c.MaxBytes)
	options.WALCompression = compression.Snappy
	options.WALReplayConcurrency = 1
	options.StripeSize = stripes
	options.HeadChunksWriteBufferSize = writeBufferBytes
	options.OutOfOrderTimeWindow = late.Milliseconds()
	options.BlockReloadInterval = never
	options.NoLockfile = true // the daemon holds the cluster's lock
	return options
}

// segmentBytes returns the size of the write-ahead log's segments for a size of all files.
func segmentBytes(maxBytes int64) int {
	return int(min(max(maxBytes/32/pageBytes, 1)*pageBytes, maxSegmentBytes))
}

// fromFuture reports whether samples are so much newer than now that new ones would be
// refused.
func fromFuture(db *tsdb.DB, now time.Time) bool {
	newest := db.Head().MaxTime()
	for _, block := range db.Blocks() {
		newest = max(newest, block.Meta().MaxTime)
	}
	return newest > now.Add(late).UnixMilli()
}

// guard calls f and turns a panic, or a fault in a file that is mapped into memory, into
// an error: the machines of the cluster end with this process.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("the files are damaged: %v", cause)
		}
	}()
	return f()
}

// checkSpace returns ErrNoSpace if too little is free.
func (c Config) checkSpace() error {
	if c.FreeBytes == nil {
		return nil
	}
	if free := c.FreeBytes(); free < reserveBytes {
		return fmt.Errorf("%w: %d MiB of the %d MiB that machines may need", ErrNoSpace, free>>20, reserveBytes>>20)
	}
	return nil
}

// Has reports whether the store was opened with the same settings.
func (s *Store) Has(config Config) bool {
	return s.config.Dir == config.Dir && s.config.Keep == config.Keep && s.config.MaxBytes == config.MaxBytes
}

// Append calls add with an appender and commits what it appended. The error is
// ErrNoSpace, or ErrClockWentBack if now is so much older than what is stored that
// samples of now would be refused; nothing is stored then.
func (s *Store) Append(ctx context.Context, now time.Time, add func(storage.Appender) error) error {
	if err := s.config.checkSpace(); err != nil {
		return err
	}
	if fromFuture(s.db, now) {
		return ErrClockWentBack
	}
	return guard(func() error {
		appender := s.db.Appender(ctx)
		if err := add(appender); err != nil {
			return errors.Join(err, appender.Rollback())
		}
		if err := appender.Commit(); err != nil {
			return fmt.Errorf("store metrics: %w", err)
		}
		return nil
	})
}

// Querier implements storage.Queryable.
func (s *Store) Querier(from, to int64) (querier storage.Querier, err error) {
	err = guard(func() error {
		querier, err = s.db.Querier(from, to)
		return err
	})
	return querier, err
}

// Series returns the number of series that were recorded recently.
func (s *Store) Series() int { return int(s.db.Head().NumSeries()) } //nolint:gosec // far below the limit

// maintain writes blocks, merges them and deletes the oldest until ctx ends.
func (s *Store) maintain(ctx context.Context) {
	ticker := time.NewTicker(maintenancePeriod)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := s.config.checkSpace()
		if err == nil {
			err = guard(func() error {
				s.db.ForceHeadMMap() // full chunks leave the heap
				return s.db.Compact(ctx)
			})
		}
		if err == nil {
			err = guard(s.limitHead)
		}
		if (err != nil) != failing && ctx.Err() == nil {
			failing = err != nil
			s.config.Log.Info("the maintenance of the metrics store changed", "works", !failing, "error", err)
		}
	}
}

// limitHead writes a block early if many series have ended, as when thousands of pods come
// and go, or if the samples that are in no block yet use half of the space: the database
// deletes only blocks.
func (s *Store) limitHead() error {
	head := s.db.Head()
	if head.NumStaleSeries() > maxStale {
		if err := s.db.CompactStaleHead(); err != nil {
			return err
		}
	}
	if head.Size() <= s.config.MaxBytes/2 || head.MaxTime()-head.MinTime() < late.Milliseconds() {
		return nil
	}
	return s.db.CompactHead(tsdb.NewRangeHead(head, head.MinTime(), head.MaxTime()-1))
}

// Close writes what is in memory and closes the store.
func (s *Store) Close() error {
	s.end()
	s.tasks.Wait()
	if err := guard(s.db.Close); err != nil {
		return fmt.Errorf("close the metrics in %s: %w", s.config.Dir, err)
	}
	return nil
}
