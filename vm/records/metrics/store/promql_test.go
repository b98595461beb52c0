package store

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// TestUpstreamsCasesOfPromQLPass runs the cases that Prometheus tests PromQL with over the
// database of this store. They load days at once, so its blocks are longer here.
func TestUpstreamsCasesOfPromQLPass(t *testing.T) {
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	promqltest.RunBuiltinTestsWithStorage(applying{t}, engine, func(tb testing.TB) storage.Storage {
		options := Config{Keep: 1000 * time.Hour, MaxBytes: 1 << 40}.options()
		options.MinBlockDuration = (24 * time.Hour).Milliseconds()
		options.MaxBlockDuration = options.MinBlockDuration
		options.OutOfOrderTimeWindow = 0
		db, err := tsdb.Open(tb.TempDir(), slog.New(slog.DiscardHandler), nil, options, nil)
		if err != nil {
			tb.Fatal(err)
		}
		return db
	})
}

// applying leaves out cases about what the store does not have: start timestamps, an
// experiment of upstream's.
type applying struct{ *testing.T }

func (a applying) Run(name string, f func(*testing.T)) bool {
	if strings.HasSuffix(name, "start_timestamps.test") {
		return true
	}
	return a.T.Run(name, f)
}
