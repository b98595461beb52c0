package scrape

import (
	"errors"
	"maps"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

const (
	// forget is for how many requests a series is remembered after it was last exported.
	forget = 4
	// beginPeriod is the time in which a target may begin a limited number of series. The
	// store has them in memory for about as long.
	beginPeriod = time.Hour
)

// series are those of a target, by their text in its answer.
type series struct {
	known map[string]*known
	round int
	// begun is the number of series since the time since.
	begun int
	since time.Time
}

// known is a series.
type known struct {
	ref    storage.SeriesRef
	labels labels.Labels
	// round is when it was last exported; ended is set once its end is marked.
	round int
	ended bool
	// dropped series are not stored.
	dropped bool
}

// batch appends the samples of one answer.
type batch struct {
	*series
	target   target.Target
	appender storage.Appender
	now      time.Time
	full     bool
	work     *target.Work // for the labels of new series
	describe func(metric, kind, help string)
	samples  int
	refused  int
	excess   int
	err      error // of the store
}

// begin begins the samples of a request at the time now.
func (s *Scraper) begin(a storage.Appender, now time.Time, to Store) *batch {
	if s.series.known == nil {
		s.series.known = map[string]*known{}
	}
	s.series.round++
	if s.series.since.IsZero() || now.Sub(s.series.since).Abs() >= beginPeriod {
		s.series.since, s.series.begun = now, 0
	}
	full := to.Full(s.Target.Identity != target.Anonymous)
	return &batch{series: &s.series, target: s.Target, appender: a, now: now, full: full, work: target.NewWork(), describe: s.Describe}
}

// sample appends a sample of the target's answer.
func (b *batch) sample(text []byte, parse func(*labels.Labels) error, at *int64, v float64) error {
	k, ok := b.known[string(text)]
	if !ok {
		var l labels.Labels
		if err := parse(&l); err != nil {
			return err
		}
		var err error
		if k, err = b.first(l); err != nil {
			return err
		}
		b.known[string(text)] = k
	}
	k.round = b.round
	if k.dropped {
		return nil
	}
	b.samples++
	if k.ref != 0 || b.begins(k.labels, b.target.MaxBegun) {
		b.store(k, b.time(at), v)
	}
	return b.err
}

// first returns a series that the target has not exported before, given its own labels.
func (b *batch) first(l labels.Labels) (*known, error) {
	if b.target.Drop != nil && b.target.Drop(l) {
		return &known{dropped: true}, nil
	}
	l, keep, err := b.target.Relabel(merge(l, b.target.Labels), b.work)
	return &known{labels: l, dropped: !keep}, err
}

// begins reports whether a series that this target has not stored yet may be stored. limit
// bounds how many begin in a beginPeriod; 0 means no limit. Series that the store knows from
// an earlier target do not count.
func (b *batch) begins(l labels.Labels, limit int) bool {
	if from, ok := b.appender.(storage.GetRef); ok {
		if ref, _ := from.GetRef(l, l.Hash()); ref != 0 {
			return true
		}
	}
	if b.full || limit > 0 && b.begun >= limit {
		b.excess++
		return false
	}
	if limit > 0 {
		b.begun++
	}
	return true
}

// time returns the time of a sample in milliseconds.
func (b *batch) time(at *int64) int64 {
	now := b.now.UnixMilli()
	if at == nil || !b.target.Times || *at > now || *at < now-oldest.Milliseconds() {
		return now
	}
	return *at
}

// store appends a sample. A sample whose time does not fit is left out.
func (b *batch) store(k *known, at int64, v float64) {
	ref, err := b.appender.Append(k.ref, k.labels, at, v)
	switch {
	case err == nil:
		k.ref, k.ended = ref, false
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrTooOldSample),
		errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		b.refused++
	default:
		b.err = err
	}
}

// append appends a sample that is not part of an answer.
func (b *batch) append(l labels.Labels, v float64) {
	text := "\x00" + l.String()
	k, ok := b.known[text]
	if !ok {
		k = &known{labels: merge(l, b.target.Labels)}
		b.known[text] = k
	}
	k.round = b.round
	if k.ref != 0 || b.begins(k.labels, 0) {
		b.store(k, b.now.UnixMilli(), v)
	}
}

// end marks the end of the series that are not in the answer, and forgets those that
// have been away for a while.
func (b *batch) end() {
	stale := math.Float64frombits(value.StaleNaN)
	for _, k := range b.known {
		if k.round != b.round && !k.ended && k.ref != 0 {
			b.store(k, b.now.UnixMilli(), stale)
			k.ended = true
		}
	}
	maps.DeleteFunc(b.known, func(_ string, k *known) bool { return k.round+forget < b.round })
}

// merge adds the labels of the target to a series. A label of the same name that the
// program exports gets the prefix exported_, as in Prometheus.
func merge(exported, target labels.Labels) labels.Labels {
	b := labels.NewBuilder(exported)
	target.Range(func(l labels.Label) {
		if v := exported.Get(l.Name); v != "" && v != l.Value {
			b.Set("exported_"+l.Name, v)
		}
		b.Set(l.Name, l.Value)
	})
	return b.Labels()
}
