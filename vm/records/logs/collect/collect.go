// Package collect brings the logs of a cluster into its store, each entry once. It
// asks nodes for what follows its cursors, so nothing is lost while it is not running.
package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

const (
	// idle is how long an entry that may continue waits for its next line.
	idle = time.Second
	// waitPending and waitIdle are how long a request waits on the node.
	waitPending, waitIdle = 500, 5000
	// waitHurry is how long a request waits during a drain.
	waitHurry = 100
	// interval is the time between requests to a node that has little to answer.
	interval = time.Second
	// roundLimit bounds a request with its answer: a machine that was killed closes no
	// connection.
	roundLimit = time.Minute
	// batch is how many bytes of text are added to the store at once.
	batch = 4 << 20
	// firstRetry and lastRetry bound the pause after a failure.
	firstRetry, lastRetry = 200 * time.Millisecond, 5 * time.Second
	// past and future are how far from now the time of an entry may be. The store has
	// one file tree a day, and a guest must not decide how many.
	past, future = 7 * 24 * time.Hour, 24 * time.Hour
	// skew is how far the clock of a node may be ahead.
	skew = time.Minute
)

// Row is an entry of the store.
type Row struct {
	// Time in nanoseconds since 1970.
	Time int64
	// Labels identify the origin of the entry. Many entries have the same.
	Labels []entry.Field
	Text   string
	Fields []entry.Field
}

// Store keeps rows.
type Store interface {
	// Add adds rows. The error wraps ErrFull while there is no room; then none was added.
	Add(rows []Row) error
	// Times returns the times of rows with the given labels, from a time on.
	Times(ctx context.Context, labels []entry.Field, from int64) (map[int64]bool, error)
}

// ErrFull means that the disk has no room for more.
var ErrFull = errors.New("no space for more logs")

// Node is where logs come from.
type Node interface {
	// TakeLogs asks for logs. The caller closes the answer.
	TakeLogs(ctx context.Context, request nodeapi.TakeRequest) (io.ReadCloser, error)
}

// Config of a collection from one node.
type Config struct {
	Cluster, Name string
	Node          Node
	Store         Store
	Cursors       *Cursors
	// Replay means that the store may have entries that are not before the cursors.
	Replay bool
	// PodLabels returns the labels of a pod. If they are not known, it waits a while.
	PodLabels func(ctx context.Context, uid string, wait time.Duration) ([]entry.Field, bool)
	// Dropped is told how much the node had to drop so far.
	Dropped func(nodeapi.LogsDropped)
	// Drain, if set, lets a caller wait for what the node has now.
	Drain *Drain
	Log   *slog.Logger
}

// Run collects from a node until ctx ends.
func Run(ctx context.Context, config Config) {
	c := &collector{Config: config, seen: map[string]stored{}, begun: time.Now()}
	c.restore()
	pauseFor, warned := firstRetry, ""
	for ctx.Err() == nil {
		begun := time.Now()
		more, err := c.round(ctx)
		if err == nil {
			pauseFor, warned = firstRetry, ""
			if !more {
				c.pace(ctx, begun)
			}
			continue
		}
		// What was read and not accepted is read again.
		c.restore()
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, context.Canceled) {
			continue // a drain began
		}
		if text := err.Error(); text != warned && !paused(err) {
			warned = text
			c.Log.Warn("cannot collect the logs of a node, retrying", "node", c.Name, "error", err)
		}
		_ = pause.For(ctx, pauseFor)
		pauseFor = min(2*pauseFor, lastRetry)
	}
}

// paused reports whether a node cannot answer because its cluster is paused.
func paused(err error) bool {
	var failure *daemonapi.Failure
	return errors.As(err, &failure) && failure.Paused
}

// collector collects from one node.
type collector struct {
	Config
	begun time.Time
	files map[string]*follower
	seen  map[string]stored // from before a crash, by labels
	rows  []Row
	bytes int
	// patience is how long this round may still wait for labels.
	patience time.Duration
}

// stored are times of rows in the store, from a time on.
type stored struct {
	from  int64
	times map[int64]bool
}

// follower reads one file.
type follower struct {
	joiner *entry.Joiner
	source *source
	final  bool
}

// restore continues where the store accepted entries last.
func (c *collector) restore() {
	c.files, c.rows, c.bytes = map[string]*follower{}, nil, 0
	for id, cursor := range c.Cursors.Accepted(c.Name) {
		f := &follower{final: cursor.Final}
		f.joiner = c.joiner(f, cursor.Position)
		c.files[id] = f
	}
}

// joiner returns a Joiner for a file whose source is known by the time it has lines.
func (c *collector) joiner(f *follower, at entry.Position) *entry.Joiner {
	return entry.NewJoiner(at, func(line []byte) entry.Line { return f.source.parse(line) }, func(e entry.Entry) {
		row := f.source.row(e)
		c.rows = append(c.rows, row)
		c.bytes += len(row.Text)
	})
}

// pace waits until the next round, unless a drain begins: a few lines at a time would
// cost more than they are worth.
func (c *collector) pace(ctx context.Context, begun time.Time) {
	ctx, hurry, end := c.Drain.round(ctx)
	defer end()
	if !hurry {
		_ = pause.For(ctx, interval-time.Since(begun))
	}
}

// round asks the node once and adds what it answers. It reports whether the node has
// more.
func (c *collector) round(ctx context.Context) (more bool, err error) {
	c.patience = labelWait
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	ctx, hurry, end := c.Drain.round(ctx)
	defer end()
	request := nodeapi.TakeRequest{Files: map[string]nodeapi.LogRead{}, WaitMilliseconds: waitIdle}
	durable := c.Cursors.Durable(c.Name)
	for id, f := range c.files {
		request.Files[id] = nodeapi.LogRead{Read: f.joiner.Read(), Stored: durable[id].Offset, Final: f.final}
		if f.joiner.Pending() {
			request.WaitMilliseconds = waitPending
		}
	}
	if hurry {
		request.WaitMilliseconds = waitHurry
	}
	answer, err := c.Node.TakeLogs(ctx, request)
	if err != nil {
		return false, err
	}
	defer func() { _ = answer.Close() }()
	for reader := nodeapi.NewLogReader(answer); ; {
		chunk, data, err := reader.Next()
		if err != nil {
			return false, err
		}
		now := time.Now()
		if chunk.End {
			for _, id := range chunk.Gone {
				delete(c.files, id)
			}
			c.flush(now, hurry)
			if c.Dropped != nil {
				c.Dropped(chunk.Dropped)
			}
			if err := c.add(ctx); err != nil {
				return false, err
			}
			if !chunk.More {
				c.Drain.caughtUp(c.Name, begun)
			}
			return chunk.More, nil
		}
		if err := c.chunk(ctx, chunk, data, now); err != nil {
			return false, err
		}
		if c.bytes >= batch {
			if err := c.add(ctx); err != nil {
				return false, err
			}
		}
	}
}

// Bounds of what one node can make the host remember: files, and bytes of their names.
const (
	maxFiles = 20_000
	maxName  = 1024
)

// chunk takes a part of a file.
func (c *collector) chunk(ctx context.Context, chunk nodeapi.LogChunk, data []byte, now time.Time) error {
	if len(chunk.File) > maxName || len(chunk.Path) > maxName {
		return errors.New("the node has a log file whose name is too long")
	}
	f := c.files[chunk.File]
	if f == nil {
		if len(c.files) >= maxFiles {
			return fmt.Errorf("the node has more than %d log files", maxFiles)
		}
		f = &follower{}
		f.joiner = c.joiner(f, entry.Position{})
		c.files[chunk.File] = f
	}
	if f.source == nil {
		f.source = c.newSource(ctx, chunk)
	} else {
		c.podLabels(ctx, f.source, 0)
	}
	if chunk.Offset != f.joiner.Read() {
		// The file became shorter, or the node lost what we know of it.
		f.joiner = c.joiner(f, entry.Position{Offset: chunk.Offset})
	}
	f.joiner.Write(data, now)
	if chunk.Final {
		f.joiner.End(now)
		f.final = true
	}
	return nil
}

// flush emits entries that nothing followed for a while, or at once in a hurry.
func (c *collector) flush(now time.Time, hurry bool) {
	before := now.Add(-idle)
	if hurry {
		before = now.Add(1)
	}
	for _, f := range c.files {
		if f.source != nil {
			f.joiner.Flush(before)
		}
	}
}

// add adds the rows to the store, and notes how far the logs were read.
func (c *collector) add(ctx context.Context) error {
	rows, err := c.unseen(ctx, c.rows)
	if err != nil {
		return err
	}
	bound(rows, time.Now())
	if len(rows) > 0 {
		if err := c.Store.Add(rows); err != nil {
			return err
		}
	}
	c.rows, c.bytes = c.rows[:0], 0
	cursors := make(map[string]Cursor, len(c.files))
	for id, f := range c.files {
		cursors[id] = Cursor{Position: f.joiner.Position(), Final: f.final}
	}
	c.Cursors.Accept(c.Name, cursors)
	return nil
}

// bound gives rows with impossible times the present one.
func bound(rows []Row, now time.Time) {
	first, last := now.Add(-past).UnixNano(), now.Add(future).UnixNano()
	for i := range rows {
		if r := &rows[i]; r.Time < first || r.Time > last {
			r.Fields = append(r.Fields, entry.Field{Name: "reported_time", Value: time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano)})
			r.Time = now.UnixNano()
		}
	}
}

// unseen leaves out rows that the store has from before a crash. Times of one stream
// differ, so they tell rows apart.
func (c *collector) unseen(ctx context.Context, rows []Row) ([]Row, error) {
	if !c.Replay {
		return rows, nil
	}
	kept := rows[:0:0]
	for _, r := range rows {
		if r.Time > c.begun.Add(skew).UnixNano() {
			kept = append(kept, r)
			continue
		}
		key := keyOf(r.Labels)
		known, asked := c.seen[key]
		if !asked || r.Time < known.from {
			times, err := c.Store.Times(ctx, r.Labels, r.Time)
			if err != nil {
				return nil, err
			}
			known = stored{r.Time, times}
			c.seen[key] = known
		}
		if known.times[r.Time] {
			continue
		}
		kept = append(kept, r)
	}
	return kept, nil
}

func keyOf(labels []entry.Field) string {
	var key strings.Builder
	for _, l := range labels {
		key.WriteString(l.Name + "\x00" + l.Value + "\x00")
	}
	return key.String()
}
