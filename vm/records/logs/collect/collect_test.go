package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

// node answers with the rest of its files, at most some bytes at once.
type node struct {
	mu      sync.Mutex        // guards the fields below
	files   map[string]string // by path
	share   int
	err     error
	stored  map[string]int64
	dropped nodeapi.LogsDropped
}

func (n *node) TakeLogs(ctx context.Context, request nodeapi.TakeRequest) (io.ReadCloser, error) {
	var answer bytes.Buffer
	w := nodeapi.NewLogWriter(&answer)
	sent, more, err := n.rest(w, request)
	if err != nil {
		return nil, err
	}
	if !sent {
		select {
		case <-time.After(time.Duration(request.WaitMilliseconds) * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = w.Write(nodeapi.LogChunk{End: true, More: more, Dropped: n.dropped}, nil)
	return io.NopCloser(&answer), nil
}

// rest writes what the request does not have of the files.
func (n *node) rest(w *nodeapi.LogWriter, request nodeapi.TakeRequest) (sent, more bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return false, false, n.err
	}
	for path, text := range n.files {
		id := "container/" + path + "@1"
		read := request.Files[id]
		n.stored[id] = read.Stored
		data := []byte(text)[read.Read:]
		if len(data) > n.share {
			data, more = data[:n.share], true
		}
		if len(data) > 0 {
			sent = true
			_ = w.Write(nodeapi.LogChunk{File: id, Source: nodeapi.LogSourceContainer, Path: path, Offset: read.Read}, data)
		}
	}
	return sent, more, nil
}

// memory is a store whose disk is what was added some time ago.
type memory struct {
	mu   sync.Mutex // guards the fields below
	rows []Row
	full bool
}

func (m *memory) Add(rows []Row) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return ErrFull
	}
	m.rows = append(m.rows, rows...)
	return nil
}

func (m *memory) Times(_ context.Context, labels []entry.Field, from int64) (map[int64]bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	times := map[int64]bool{}
	for _, r := range m.rows {
		if r.Time >= from && slices.Equal(r.Labels, labels) {
			times[r.Time] = true
		}
	}
	return times, nil
}

func (m *memory) texts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var texts []string
	for _, r := range m.rows {
		texts = append(texts, r.Text)
	}
	return texts
}

const webLog = "shop_web_uid/app/0.log"

func line(i int) string {
	return time.Date(2000, 1, 1, 0, 0, i, 0, time.UTC).Format(time.RFC3339Nano) + fmt.Sprintf(" stdout F line %d\n", i)
}

func lines(from, to int) (texts []string) {
	for i := from; i < to; i++ {
		texts = append(texts, fmt.Sprint("line ", i))
	}
	return texts
}

type rig struct {
	t       *testing.T
	node    *node
	store   *memory
	path    string
	cursors *Cursors
	clean   bool
	drain   *Drain
	log     bytes.Buffer // of the collection, after it has ended
}

func newRig(t *testing.T) *rig {
	return &rig{
		t: t, store: &memory{}, path: filepath.Join(t.TempDir(), "cursors.json"),
		node: &node{files: map[string]string{}, share: 1000, stored: map[string]int64{}},
	}
}

// during collects while f runs.
func (r *rig) during(f func()) {
	r.t.Helper()
	var err error
	if r.cursors, r.clean, err = OpenCursors(r.path, 10*time.Second); err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Run(ctx, Config{
			Cluster: "dev", Name: "worker-1", Node: r.node, Store: r.store, Cursors: r.cursors, Replay: !r.clean,
			PodLabels: func(context.Context, string, time.Duration) ([]entry.Field, bool) {
				return []entry.Field{{Name: "label.app", Value: "web"}}, true
			},
			Drain: r.drain, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		})
	}()
	f()
	cancel()
	<-done
}

func (r *rig) expect(want []string) {
	r.t.Helper()
	if got := r.store.texts(); !slices.Equal(got, want) {
		r.t.Errorf("the store has %q, want %q", got, want)
	}
}

func (r *rig) write(from, to int) {
	r.node.mu.Lock()
	defer r.node.mu.Unlock()
	for i := from; i < to; i++ {
		r.node.files[webLog] += line(i)
	}
}

// fill makes the store's disk full, or not.
func (r *rig) fill(full bool) {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	r.store.full = full
}

// fail makes the node answer with an error, unless it is nil.
func (r *rig) fail(err error) {
	r.node.mu.Lock()
	defer r.node.mu.Unlock()
	r.node.err = err
}

// stored returns how many bytes of the log the node may delete, of how many.
func (r *rig) stored() (stored, all int) {
	r.node.mu.Lock()
	defer r.node.mu.Unlock()
	return int(r.node.stored["container/"+webLog+"@1"]), len(r.node.files[webLog])
}

// settle is long enough for a request and for an entry that waits for its next line.
func settle() { time.Sleep(10 * time.Second) }

func TestEntriesHaveLabelsAndArriveOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.write(0, 50)
		r.node.share = 7
		r.during(func() {
			settle()
			r.write(50, 60)
			settle()
		})
		r.expect(lines(0, 60))
		want := Row{
			Time:   r.store.rows[0].Time,
			Labels: []entry.Field{{Name: "cluster", Value: "dev"}, {Name: "node", Value: "worker-1"}, {Name: "source", Value: "container"}, {Name: "namespace", Value: "shop"}, {Name: "pod", Value: "web"}, {Name: "container", Value: "app"}, {Name: "stream", Value: "stdout"}},
			Text:   "line 0",
			Fields: []entry.Field{{Name: "pod_uid", Value: "uid"}, {Name: "attempt", Value: "0"}, {Name: "label.app", Value: "web"}},
		}
		if got := r.store.rows[0]; !reflect.DeepEqual(got, want) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	})
}

func TestACleanEndContinuesWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.write(0, 10)
		r.during(settle)
		if err := r.cursors.Close(); err != nil {
			t.Fatal(err)
		}
		r.write(10, 20)
		r.during(settle)
		if !r.clean {
			t.Error("the end does not count as clean")
		}
		r.expect(lines(0, 20))
	})
}

// TestACrashLosesNothingAndRepeatsNothing lets the store forget what it had not written
// to disk, as far as it may.
func TestACrashLosesNothingAndRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.during(func() {
			for i := range 10 {
				r.write(10*i, 10*i+10)
				time.Sleep(4 * time.Second)
				if err := r.cursors.Save(time.Now()); err != nil {
					t.Fatal(err)
				}
			}
		})
		durable := 0
		for _, c := range r.cursors.Durable("worker-1") {
			durable = int(c.Offset) / len(line(10))
		}
		if durable == 0 || durable == 100 {
			t.Fatalf("%d lines are durable", durable)
		}
		// Of the rest, some is on disk, not in the order in which it came.
		kept := r.store.rows[:durable:durable]
		for i, row := range r.store.rows[durable:] {
			if i%3 == 0 {
				kept = append(kept, row)
			}
		}
		r.store.rows = kept
		r.during(settle)
		if r.clean {
			t.Error("a crash counts as a clean end")
		}
		got := r.store.texts()
		slices.Sort(got)
		want := lines(0, 100)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

func TestAFullDiskLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.write(0, 30)
		r.during(func() {
			settle()
			r.fill(true)
			r.write(30, 60)
			time.Sleep(time.Minute)
			r.fill(false)
			settle()
		})
		r.expect(lines(0, 60))
	})
}

func TestANodeThatDoesNotAnswerIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.fail(errors.New("away"))
		r.write(0, 5)
		r.during(func() {
			time.Sleep(time.Minute)
			r.fail(nil)
			settle()
		})
		r.expect(lines(0, 5))
	})
}

func TestAPausedNodeIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.fail(fmt.Errorf("collect the logs of worker-1: %w", daemonapi.Paused("dev")))
		r.write(0, 5)
		r.during(func() {
			time.Sleep(time.Minute)
			r.fail(nil)
			settle()
		})
		r.expect(lines(0, 5))
		if r.log.Len() > 0 {
			t.Errorf("it was reported: %s", r.log.String())
		}
	})
}

func TestNodesKeepWhatIsNotDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.write(0, 5)
		r.during(func() {
			settle()
			if stored, _ := r.stored(); stored != 0 {
				t.Errorf("the node may delete %d bytes at once", stored)
			}
			for range 5 {
				if err := r.cursors.Save(time.Now()); err != nil {
					t.Fatal(err)
				}
				settle()
			}
			if stored, all := r.stored(); stored != all {
				t.Errorf("the node may delete %d bytes of %d", stored, all)
			}
		})
	})
}

func TestADrainWaitsForTheLastLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.drain = NewDrain()
		r.write(0, 5)
		r.during(func() {
			settle()
			r.write(5, 10)
			begun := time.Now()
			r.drain.Wait(t.Context())
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("the drain took %s", took)
			}
			r.expect(lines(0, 10))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			r.fail(errors.New("away"))
			r.drain.Wait(ctx)
			if ctx.Err() == nil {
				t.Error("a drain does not wait for a node that is away")
			}
		})
	})
}

func TestARemovedNodeIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.drain = NewDrain()
		r.write(0, 5)
		r.during(settle)
		r.drain.Forget("worker-1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if r.drain.Wait(ctx); ctx.Err() != nil {
			t.Error("a drain waits for a node that was removed")
		}
		if len(r.cursors.Accepted("worker-1")) != 1 {
			t.Fatal("no cursors were kept")
		}
		r.cursors.Forget("worker-1")
		if err := r.cursors.Close(); err != nil {
			t.Fatal(err)
		}
		again, _, err := OpenCursors(r.path, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if files := again.Accepted("worker-1"); len(files) != 0 {
			t.Errorf("cursors of a node that was removed: %v", files)
		}
	})
}

func TestImpossibleTimesBecomeTheTimeOfArrival(t *testing.T) {
	now := time.Now()
	rows := []Row{{Time: now.Add(-past - time.Hour).UnixNano()}, {Time: now.Add(future + time.Hour).UnixNano()}, {Time: now.UnixNano() - 1}}
	bound(rows, now)
	if rows[0].Time != now.UnixNano() || rows[1].Time != now.UnixNano() || rows[2].Time != now.UnixNano()-1 || len(rows[0].Fields) != 1 || len(rows[2].Fields) != 0 {
		t.Errorf("%+v", rows)
	}
}

func TestDamagedCursorsAreSetAsideAndNothingIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.write(0, 20)
		r.during(settle)
		if err := os.WriteFile(r.path, []byte(`{"clean":true,"nodes":`), 0o600); err != nil {
			t.Fatal(err)
		}
		r.write(20, 30)
		r.during(settle)
		r.expect(lines(0, 30))
		if _, err := os.Stat(r.path + ".damaged"); err != nil || r.clean {
			t.Errorf("clean %v, %v", r.clean, err)
		}
	})
}

func TestLevelsOfContainersAreFields(t *testing.T) {
	c := &collector{Config: Config{Cluster: "dev", Name: "worker-1"}}
	s := c.newSource(t.Context(), nodeapi.LogChunk{Source: nodeapi.LogSourceContainer, Path: webLog})
	for text, want := range map[string]string{
		`{"level":"warn"}`: "warn", "E1129 10:00:00.123456   1 a.go:1] x": "error", `ts=1 level=info msg=x`: "info", "plain": "",
	} {
		level := ""
		for _, f := range s.row(entry.Entry{Text: text, Stream: "stdout"}).Fields {
			if f.Name == "level" {
				level = f.Value
			}
		}
		if level != want {
			t.Errorf("%s: level %q", text, level)
		}
	}
}
