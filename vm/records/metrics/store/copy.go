package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/skiff-dev/skiff/vm/records/replica"
)

// copyPrefix begins the names of copies.
const copyPrefix = "metrics-"

// ErrAbsent reports that there is no store.
var ErrAbsent = errors.New("no metrics were recorded")

// Copy is a store that is only read, although its process may have been killed while it
// wrote: what has to be repaired is repaired in a copy. Its methods may be called
// concurrently.
type Copy struct {
	db  *tsdb.DB
	dir string
}

// OpenCopy opens the store in dir, to which no process writes. The copy is in a directory
// below temporary until Close; blocks, which never change, are linked if that is on the
// same file system. The error wraps ErrAbsent if there is no store.
func OpenCopy(dir, temporary string, log *slog.Logger) (c *Copy, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrAbsent
	}
	to, err := replica.Dir(temporary, copyPrefix)
	if err != nil {
		return nil, fmt.Errorf("copy the metrics: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(to))
		}
	}()
	if err := replica.Copy(dir, to, isBlockFile); err != nil {
		return nil, fmt.Errorf("copy the metrics: %w", err)
	}
	c = &Copy{dir: to}
	err = guard(func() error {
		options := tsdb.DefaultOptions()
		options.RetentionDuration = 0
		options.MinBlockDuration = blockDuration.Milliseconds()
		options.MaxBlockDuration = blockDuration.Milliseconds()
		options.StripeSize = stripes
		options.OutOfOrderTimeWindow = late.Milliseconds()
		options.NoLockfile = true
		c.db, err = tsdb.Open(to, log, nil, options, nil)
		if err == nil {
			c.db.DisableCompactions()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the metrics in %s: %w", dir, err)
	}
	return c, nil
}

// isBlockFile reports whether a file's content never changes: the index and the chunks of
// a block, whose directory is named by a ULID.
func isBlockFile(name string) bool {
	const ulid = 26
	base := filepath.Base(name)
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if len(filepath.Base(dir)) == ulid {
			return base != "meta.json" && base != "tombstones"
		}
	}
	return false
}

// Querier implements storage.Queryable.
func (c *Copy) Querier(from, to int64) (querier storage.Querier, err error) {
	err = guard(func() error {
		querier, err = c.db.Querier(from, to)
		return err
	})
	return querier, err
}

// Newest returns the time of the newest sample, the zero time if there is none.
func (c *Copy) Newest() time.Time {
	var newest time.Time
	for _, block := range c.db.Blocks() {
		newest = later(newest, block.Meta().MaxTime)
	}
	if head := c.db.Head(); head.NumSeries() > 0 {
		newest = later(newest, head.MaxTime())
	}
	return newest
}

func later(a time.Time, milliseconds int64) time.Time {
	if b := time.UnixMilli(milliseconds); b.After(a) {
		return b
	}
	return a
}

// Close removes the copy.
func (c *Copy) Close() error {
	return errors.Join(guard(c.db.Close), os.RemoveAll(c.dir))
}
