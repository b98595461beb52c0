package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkLimit bounds the search for an order; its problem is hard in general.
const checkLimit = 5 * time.Minute

// operation is what porcupine is told of one request.
type operation struct {
	write bool
	key   int
	value string
}

// model is a register for each key: a read returns what was written last.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := make([][]porcupine.Operation, keys)
		for _, o := range history {
			k := o.Input.(operation).key
			byKey[k] = append(byKey[k], o)
		}
		return byKey
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		if o := input.(operation); o.write {
			return true, o.value
		}
		return output.(string) == state.(string), state
	},
}

// history is all that clients and watchers saw.
type history struct {
	began time.Time

	mu           sync.Mutex // guards what follows
	operations   []porcupine.Operation
	acknowledged []acknowledgement
	watchers     []*watcher
	lastWrite    time.Time
	outage       time.Duration
}

// acknowledgement is a write that the API said was done.
type acknowledgement struct {
	key, value string
	version    int64
}

func newHistory() *history { return &history{began: time.Now(), lastWrite: time.Now()} }

func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) read(client, key int, value string, began int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: operation{key: key}, Output: value, Call: began, Return: h.now()})
}

func (h *history) wrote(client, key int, value string, version, began int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: operation{write: true, key: key, value: value}, Call: began, Return: h.now()})
	h.acknowledged = append(h.acknowledged, acknowledgement{keyName(key), value, version})
	h.outage = max(h.outage, time.Since(h.lastWrite))
	h.lastWrite = time.Now()
}

// unknown is a write that may have been done, at any time since, or never.
func (h *history) unknown(client, key int, value string, began int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: operation{write: true, key: key, value: value}, Call: began, Return: math.MaxInt64})
}

// takeOutage is the longest time without an acknowledged write since it was
// asked last.
func (h *history) takeOutage() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	outage := h.outage
	h.outage = 0
	return outage
}

// watcher is what one watch delivered; only its own goroutine writes to it.
type watcher struct {
	member  int
	from    int64
	last    int64 // the version to go on from
	seen    map[int64]string
	faults  []string
	expired int
}

func (h *history) watcher(member int, from string) *watcher {
	w := &watcher{member: member, seen: map[int64]string{}}
	_, _ = fmt.Sscan(from, &w.from)
	w.last = w.from
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers = append(h.watchers, w)
	return w
}

func (w *watcher) saw(key, value string, version int64) {
	if version <= w.last {
		w.faults = append(w.faults, fmt.Sprintf("version %d came after %d", version, w.last))
	}
	w.seen[version] = key + "=" + value
	w.last = version
}

func (w *watcher) bookmark(version int64) {
	if version < w.last {
		w.faults = append(w.faults, fmt.Sprintf("bookmark %d came after %d", version, w.last))
		return
	}
	w.last = version
}

// gaps are the acknowledged writes that a watch should have delivered by the
// version that it reached, and did not.
func (w *watcher) gaps(acknowledged []acknowledgement) []string {
	gaps := w.faults
	for _, a := range acknowledged {
		if a.version <= w.from || a.version > w.last {
			continue
		}
		if got, want := w.seen[a.version], a.key+"="+a.value; got != want {
			gaps = append(gaps, fmt.Sprintf("version %d is %q, not %q", a.version, got, want))
		}
	}
	return gaps
}

// settle bounds the writes of which nobody knows whether they were done. Each
// value is written once: one that was read was done before that read ended, and
// one that never was may as well never have been done. Without this the search
// for an order grows with every one of them.
func settle(operations []porcupine.Operation) []porcupine.Operation {
	type seen struct {
		key   int
		value string
	}
	first := map[seen]int64{}
	for _, o := range operations {
		if in := o.Input.(operation); !in.write {
			at := seen{in.key, o.Output.(string)}
			if end, ok := first[at]; !ok || o.Return < end {
				first[at] = o.Return
			}
		}
	}
	var settled []porcupine.Operation
	for _, o := range operations {
		if o.Return == math.MaxInt64 {
			in := o.Input.(operation)
			end, ok := first[seen{in.key, in.value}]
			if !ok {
				continue
			}
			o.Return = max(end, o.Call)
		}
		settled = append(settled, o)
	}
	return settled
}

// check judges the history; final are the keys' values afterwards, by member.
func (h *history) check(out io.Writer, final map[string][]string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	end := h.now()
	for k := range keys {
		for _, value := range final[keyName(k)] {
			h.operations = append(h.operations, porcupine.Operation{ClientId: -1, Input: operation{key: k}, Output: value, Call: end, Return: end + 1})
			end += 2
		}
	}
	switch porcupine.CheckOperationsTimeout(model, settle(h.operations), checkLimit) {
	case porcupine.Illegal:
		errs = append(errs, errors.New("reads and writes are not linearizable"))
	case porcupine.Unknown:
		errs = append(errs, fmt.Errorf("no verdict on %d operations within %s", len(h.operations), checkLimit))
	}
	events := 0
	for _, w := range h.watchers {
		events += len(w.seen)
		for _, gap := range w.gaps(h.acknowledged) {
			errs = append(errs, fmt.Errorf("watch through member %d: %s", w.member+1, gap))
		}
		if w.expired > 0 {
			fmt.Fprintf(out, "the watch through member %d was told to list again\n", w.member+1)
		}
	}
	fmt.Fprintf(out, "%d operations, %d acknowledged writes, %d watch events checked\n", len(h.operations), len(h.acknowledged), events)
	return errors.Join(errs...)
}
