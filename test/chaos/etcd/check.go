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

// checkLimit bounds the search for a linearization, which is NP-complete in general.
const checkLimit = 5 * time.Minute

// operation is the input of one request for porcupine.
type operation struct {
	write bool
	key   int
	value string
}

// model is a register for each key: a read returns the last written value.
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

// history is everything that clients and watchers observed.
type history struct {
	began time.Time

	mu           sync.Mutex // guards the fields below
	operations   []porcupine.Operation
	acknowledged []acknowledgement
	watchers     []*watcher
	lastWrite    time.Time
	outage       time.Duration
}

// acknowledgement is a write that the API acknowledged.
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

// unknown records a write that may take effect at any time from now on, or never.
func (h *history) unknown(client, key int, value string, began int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{ClientId: client, Input: operation{write: true, key: key, value: value}, Call: began, Return: math.MaxInt64})
}

// takeOutage returns the longest time without an acknowledged write since the last
// call.
func (h *history) takeOutage() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	outage := h.outage
	h.outage = 0
	return outage
}

// watcher records what one watch delivered. Only its own goroutine writes to it.
type watcher struct {
	member  int
	from    int64
	last    int64 // the version to continue from
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

// gaps returns the acknowledged writes that a watch should have delivered up to the
// version that it reached, but did not.
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

// settle bounds the writes whose outcome is unknown. Each value is written once: a
// write whose value was read took effect before that read ended, and one whose value
// was never read can be omitted. Otherwise the search for a linearization grows with
// each of them.
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

// check checks the history. final has the keys' values afterwards, by member.
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
		errs = append(errs, fmt.Errorf("%d operations could not be checked within %s", len(h.operations), checkLimit))
	}
	events := 0
	for _, w := range h.watchers {
		events += len(w.seen)
		for _, gap := range w.gaps(h.acknowledged) {
			errs = append(errs, fmt.Errorf("watch through member %d: %s", w.member+1, gap))
		}
		if w.expired > 0 {
			fmt.Fprintf(out, "the watch through member %d expired\n", w.member+1)
		}
	}
	fmt.Fprintf(out, "%d operations, %d acknowledged writes, %d watch events checked\n", len(h.operations), len(h.acknowledged), events)
	return errors.Join(errs...)
}
