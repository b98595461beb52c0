// Package store keeps rows of logs in a VictoriaLogs store. That library has state of
// its process and ends it when a file is damaged or cannot be written, so only a
// process of its own may open one, and one per process.
package store

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/app/vlstorage"
	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/skiff-dev/skiff/vm/records/logs/collect"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

const (
	// flushEvery is how often the library writes to disk what it accepted.
	flushEvery = 5 * time.Second
	// Lag is the time after which accepted rows are on disk: the library collects rows for
	// a second and may need two intervals of flushEvery. The rest is reserve.
	Lag = 15 * time.Second
	// memory is what the library's caches and queries may use.
	memory = 128 << 20
	// MinFree is how many bytes of the disk are left free.
	MinFree = 256 << 20
)

// Store is the open store of this process.
type Store struct {
	dir   string
	limit int64
	age   time.Duration

	mu     sync.Mutex // held while rows are added: the library must not be closed then
	closed bool
}

// Config of a Store.
type Config struct {
	// Dir is the directory of the store, created if it is missing.
	Dir string
	// LimitBytes and Age bound what is kept; older rows are deleted.
	LimitBytes int64
	Age        time.Duration
	// MinFree is how many bytes of the disk are left free; MinFree if 0.
	MinFree int64
	// ReadOnly means that nothing is added or deleted because of its age.
	ReadOnly bool
}

// Open opens the store of this process. It ends the process if the store is damaged.
func Open(config Config) (*Store, error) {
	age := config.Age
	if config.ReadOnly {
		age = 100 * 365 * 24 * time.Hour
	}
	days := int(age/(24*time.Hour)) + 8 // rows of up to a week ago are accepted
	for name, value := range map[string]string{
		"storageDataPath": config.Dir, "retentionPeriod": strconv.Itoa(days) + "d", "futureRetention": "2d",
		"inmemoryDataFlushInterval": flushEvery.String(), "storage.minFreeDiskSpaceBytes": strconv.FormatInt(cmp.Or(config.MinFree, MinFree), 10),
		"memory.allowedBytes": strconv.Itoa(memory), "loggerFormat": "json", "loggerLevel": "WARN",
	} {
		if err := flag.Set(name, value); err != nil {
			return nil, fmt.Errorf("configure the log store: %s: %w", name, err)
		}
	}
	// The library requires parsed flags. Those of this process are not meant for it.
	if err := flag.CommandLine.Parse(nil); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(config.Dir), 0o700); err != nil {
		return nil, err
	}
	vlstorage.Init()
	return &Store{dir: config.Dir, limit: config.LimitBytes, age: config.Age}, nil
}

// Close writes everything to disk.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	vlstorage.Stop()
}

// Add implements collect.Store.
func (s *Store) Add(rows []collect.Row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("add to the log store: it is closed")
	}
	var to vlstorage.Storage
	if err := to.CanWriteData(); err != nil {
		return fmt.Errorf("%w: too little disk space is free", collect.ErrFull)
	}
	batch := logstorage.GetLogRows(nil, nil, nil, nil, "")
	defer logstorage.PutLogRows(batch)
	var fields []logstorage.Field
	for _, r := range rows {
		fields = fields[:0]
		for _, f := range r.Labels {
			fields = append(fields, logstorage.Field{Name: f.Name, Value: f.Value})
		}
		fields = append(fields, logstorage.Field{Name: "_msg", Value: r.Text})
		for _, f := range r.Fields {
			fields = append(fields, logstorage.Field{Name: f.Name, Value: f.Value})
		}
		batch.MustAdd(logstorage.TenantID{}, r.Time, fields, len(r.Labels))
		if batch.NeedFlush() {
			to.MustAddRows(batch)
			batch.ResetKeepSettings()
		}
	}
	to.MustAddRows(batch)
	return nil
}

// Times implements collect.Store. It reads the labels of rows, not the index of streams: the
// library writes both at times of their own, so after it was killed the index may lack a stream
// whose rows are on disk.
func (s *Store) Times(ctx context.Context, labels []entry.Field, from int64) (map[int64]bool, error) {
	filters := make([]string, len(labels))
	for i, l := range labels {
		filters[i] = strconv.Quote(l.Name) + ":=" + strconv.Quote(l.Value)
	}
	q, err := logstorage.ParseQuery(strings.Join(filters, " ") + " | fields _time")
	if err != nil {
		return nil, fmt.Errorf("ask the log store for times: %w", err)
	}
	q.AddTimeFilter(from, 1<<62)
	times := map[int64]bool{}
	var mu sync.Mutex
	err = run(ctx, q, func(_ uint, block *logstorage.DataBlock) {
		stamps, _ := block.GetTimestamps(nil)
		mu.Lock()
		defer mu.Unlock()
		for _, at := range stamps {
			times[at] = true
		}
	})
	return times, err
}

func run(ctx context.Context, q *logstorage.Query, write logstorage.WriteDataBlockFunc) error {
	var stats logstorage.QueryStats
	return vlstorage.RunQuery(logstorage.NewQueryContext(ctx, &stats, []logstorage.TenantID{{}}, q, false, nil), write)
}
