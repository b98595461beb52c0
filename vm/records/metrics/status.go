package metrics

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/vm/records/metrics/promapi"
	"github.com/skiff-dev/skiff/vm/records/metrics/scrape"
	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

// Status describes a recorder.
type Status struct {
	// Recording is set while there is a store.
	Recording bool
	// Series that were recorded recently.
	Series int
	// Problems are lines for users.
	Problems []string
	// Notes are lines for users about what does not work as their objects ask for.
	Notes []string
}

// Status returns what the recorder does now.
func (r *Recorder) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	var s Status
	if r.store != nil {
		s.Recording, s.Series = true, r.store.Series()
	}
	if r.failed != nil {
		s.Problems = append(s.Problems, fmt.Sprintf("Metrics are not recorded: %v.", r.failed))
	}
	if r.notice != "" {
		s.Problems = append(s.Problems, r.notice)
	}
	switch {
	case s.Series >= maxSeries:
		s.Problems = append(s.Problems, fmt.Sprintf("Metrics have %d series, the maximum: new ones are not recorded.", s.Series))
	case s.Series >= maxWithPods:
		s.Problems = append(s.Problems, fmt.Sprintf("Metrics have %d series: new ones of pods are not recorded.", s.Series))
	}
	for _, problem := range slices.Concat(r.remarks.problems, target.Listed(r.excesses())) {
		s.Problems = append(s.Problems, "Metrics: "+problem+".")
	}
	for _, note := range r.remarks.notes {
		s.Notes = append(s.Notes, "Metrics: "+note+".")
	}
	return s
}

// excesses returns a line for users for each target with more series than are recorded. The
// caller holds r.mu.
func (r *Recorder) excesses() (lines []string) {
	for _, key := range slices.Sorted(maps.Keys(r.results)) {
		of := r.results[key]
		if of.result.Excess > 0 && of.target.Identity == target.Anonymous {
			lines = append(lines, fmt.Sprintf("pod %s/%s has too many series at %s: %d samples of its last answer were not recorded",
				of.target.Labels.Get("namespace"), of.target.Labels.Get("pod"), of.target.URL, of.result.Excess))
		}
	}
	return lines
}

// targets returns what is asked, for the API.
func (r *Recorder) targets() []promapi.Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []promapi.Target
	for _, key := range slices.Sorted(maps.Keys(r.results)) {
		of := r.results[key]
		t := promapi.Target{
			DiscoveredLabels: map[string]string{}, Labels: of.target.Labels.Map(), ScrapePool: of.target.Labels.Get("job"),
			ScrapeURL: of.target.URL, GlobalURL: of.target.URL, LastScrape: of.result.Time, LastScrapeDuration: of.result.Took.Seconds(),
			Health: "unknown", ScrapeInterval: fmt.Sprint(Period * time.Duration(of.target.Every)), ScrapeTimeout: scrape.Limit.String(),
		}
		switch {
		case of.result.Err != nil:
			t.Health, t.LastError = "down", of.result.Err.Error()
		case !of.result.Time.IsZero():
			t.Health = "up"
		}
		all = append(all, t)
	}
	return all
}
