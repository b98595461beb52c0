package store

import (
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// BenchmarkHour appends an hour of 3,000 series at 15 s, as of three nodes and 30 pods,
// and reports the memory that the store holds and the bytes on disk. The time of one
// operation is that of the whole hour.
func BenchmarkHour(b *testing.B) {
	const series, rounds = 3000, 240
	all := make([]labels.Labels, series)
	for i := range all {
		all[i] = labels.FromStrings(model.MetricNameLabel, fmt.Sprintf("container_metric_%d", i%40), "namespace", "default",
			"pod", fmt.Sprintf("pod-%d", i/40), "container", "app", "node", fmt.Sprintf("worker-%d", i%3), "job", "kubelet")
	}
	for b.Loop() {
		before := heap()
		config := Config{Dir: b.TempDir(), Keep: 24 * time.Hour, MaxBytes: 200 << 20, Log: slog.New(slog.DiscardHandler)}
		now := time.Now()
		s, err := Open(config, now)
		if err != nil {
			b.Fatal(err)
		}
		refs := make([]storage.SeriesRef, series)
		for round := range rounds {
			at := now.Add(time.Duration(round) * 15 * time.Second)
			err := s.Append(b.Context(), at, func(a storage.Appender) error {
				for i, l := range all {
					if refs[i], err = a.Append(refs[i], l, at.UnixMilli(), float64(round*i)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-heap")
		b.ReportMetric(float64(s.db.Head().Size())/(1<<20), "MiB-disk")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
