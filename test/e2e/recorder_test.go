package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// result is an entry of build/e2e/summary.json.
type result struct {
	Test    string  `json:"test"`
	Seconds float64 `json:"seconds"`
	Result  string  `json:"result"`
}

// recorder records the duration of each test.
type recorder struct {
	mu      sync.Mutex // guards results
	results []result
}

// measure records the time from now to the end of the test.
func (r *recorder) measure(t *testing.T) {
	start := time.Now()
	t.Cleanup(func() {
		outcome := "passed"
		switch {
		case t.Failed():
			outcome = "failed"
		case t.Skipped():
			outcome = "skipped"
		}
		r.add(t, t.Name(), time.Since(start), outcome)
	})
}

func (r *recorder) add(t *testing.T, name string, took time.Duration, outcome string) {
	t.Logf("%s: %s in %.1f s", name, outcome, took.Seconds())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, result{Test: name, Seconds: took.Seconds(), Result: outcome})
}

// write writes the summary to a file and logs it as a table.
func (r *recorder) write(t *testing.T, dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.results {
		t.Logf("%8.1f s  %-7s  %s", line.Seconds, line.Result, line.Test)
	}
	writeJSON(t, filepath.Join(dir, "summary.json"), r.results)
}

func writeJSON(t *testing.T, path string, value any) {
	t.Helper()
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Errorf("write %s: %v", path, err)
		return
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		t.Error(err)
	}
}
