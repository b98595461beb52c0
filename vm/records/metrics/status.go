package metrics

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/vm/records/metrics/promapi"
	"github.com/skiff-dev/skiff/vm/records/metrics/scrape"
)

// Status describes a recorder.
type Status struct {
	// Recording is set while there is a store.
	Recording bool
	// Series that were recorded recently.
	Series int
	// Problems are lines for users.
	Problems []string
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
	if s.Series >= maxSeries {
		s.Problems = append(s.Problems, fmt.Sprintf("Metrics have %d series, the maximum: new ones are not recorded.", s.Series))
	}
	for _, problem := range r.problems {
		s.Problems = append(s.Problems, "Metrics: "+problem+".")
	}
	return s
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
