package collect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

// Cursor is how much of a file is in the store.
type Cursor struct {
	entry.Position
	// Final means that the file is complete.
	Final bool `json:"final,omitempty"`
}

// state is what Cursors writes.
type state struct {
	// Clean means that the store was closed after everything before the cursors had
	// been added, and has nothing after them.
	Clean bool `json:"clean"`
	// Nodes have cursors by the ID of a file.
	Nodes map[string]map[string]Cursor `json:"nodes"`
	// Events is the version of the last event.
	Events string `json:"events,omitempty"`
	// Dropped counts what nodes had deleted before it was collected.
	Dropped map[string]nodeapi.LogsDropped `json:"dropped,omitempty"`
}

// clone returns a copy that later changes do not affect. Cursors themselves are never
// changed.
func (s state) clone() state {
	nodes := make(map[string]map[string]Cursor, len(s.Nodes))
	for node, files := range s.Nodes {
		nodes[node] = maps.Clone(files)
	}
	s.Nodes, s.Dropped = nodes, maps.Clone(s.Dropped)
	return s
}

// Cursors keep how much of each log is in the store. The store writes to disk a while
// after it accepts entries, so a cursor becomes durable later: after a crash, logs are
// read from durable cursors again, and what the store has already is left out.
type Cursors struct {
	path string
	lag  time.Duration

	mu       sync.Mutex // guards the fields below
	accepted state
	waiting  []waiting // copies of accepted, oldest first
	durable  state
}

type waiting struct {
	since time.Time
	state state
}

// OpenCursors reads the cursors at path. lag is how long the store may take to write
// what it accepted. clean reports that the store has nothing that is not before them.
// Damaged cursors are set aside: logs are read from their beginning then, and what the
// store has is left out.
func OpenCursors(path string, lag time.Duration) (c *Cursors, clean bool, err error) {
	c = &Cursors{path: path, lag: lag}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, false, err
	case json.Unmarshal(text, &c.accepted) != nil:
		c.accepted = state{}
		if err := os.Rename(path, path+".damaged"); err != nil {
			return nil, false, fmt.Errorf("set damaged cursors aside: %w", err)
		}
	}
	clean, c.accepted.Clean = c.accepted.Clean, false
	c.accepted = c.accepted.clone()
	c.durable = c.accepted.clone()
	// From here on the store may have more than the file says.
	return c, clean, c.write(c.durable)
}

// Accepted returns the cursors of a node's files up to which the store accepted
// entries.
func (c *Cursors) Accepted(node string) map[string]Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.accepted.Nodes[node])
}

// Durable returns the cursors of a node's files up to which entries are on disk.
func (c *Cursors) Durable(node string) map[string]Cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.durable.Nodes[node])
}

// Accept notes that the store accepted a node's entries up to the cursors.
func (c *Cursors) Accept(node string, files map[string]Cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted.Nodes[node] = maps.Clone(files)
}

// Forget removes what is known of a node that does not exist any more.
func (c *Cursors) Forget(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.accepted.Nodes, node)
	delete(c.accepted.Dropped, node)
}

// Events returns the version of the last event that the store accepted.
func (c *Cursors) Events() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted.Events
}

// AcceptEvents notes that the store accepted events up to a version.
func (c *Cursors) AcceptEvents(version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted.Events = version
}

// Dropped notes how much a node had to delete in all, and returns how much of it is new.
func (c *Cursors) Dropped(node string, all nodeapi.LogsDropped) nodeapi.LogsDropped {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.accepted.Dropped[node]
	if all.Lines < before.Lines || all.Bytes < before.Bytes {
		before = nodeapi.LogsDropped{} // the node has a new disk
	}
	if c.accepted.Dropped == nil {
		c.accepted.Dropped = map[string]nodeapi.LogsDropped{}
	}
	c.accepted.Dropped[node] = all
	return nodeapi.LogsDropped{Files: all.Files - before.Files, Lines: all.Lines - before.Lines, Bytes: all.Bytes - before.Bytes}
}

// Save makes cursors durable whose entries are on disk by now.
func (c *Cursors) Save(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, waiting{now, c.accepted.clone()})
	due := -1
	for i, w := range c.waiting {
		if now.Sub(w.since) >= c.lag {
			due = i
		}
	}
	if due < 0 {
		return nil
	}
	next := c.waiting[due].state
	c.waiting = c.waiting[due+1:]
	if next.equal(c.durable) {
		return nil
	}
	if err := c.write(next); err != nil {
		return err
	}
	c.durable = next
	return nil
}

// Close notes that the store was closed after it accepted everything.
func (c *Cursors) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.accepted.clone()
	last.Clean = true
	return c.write(last)
}

func (c *Cursors) write(s state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(c.path, text, 0o600); err != nil {
		return fmt.Errorf("write how far logs were collected: %w", err)
	}
	return nil
}

func (s state) equal(other state) bool {
	return s.Events == other.Events && maps.Equal(s.Dropped, other.Dropped) && maps.EqualFunc(s.Nodes, other.Nodes, func(a, b map[string]Cursor) bool {
		return maps.EqualFunc(a, b, func(a, b Cursor) bool {
			return a.Offset == b.Offset && a.Final == b.Final && maps.Equal(a.Streams, b.Streams)
		})
	})
}
