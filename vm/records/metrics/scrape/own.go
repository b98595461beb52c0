package scrape

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/storage"

	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

// Own appends samples that the host knows without asking anybody. Its methods must not be
// called concurrently.
type Own struct{ scraper Scraper }

// Append appends samples of the time now, and marks the end of the series that are no
// longer among them.
func (o *Own) Append(ctx context.Context, now time.Time, samples []target.Sample, to Store) error {
	o.scraper.Target.Identity = target.Recorder // these are about the cluster itself
	return to.Append(ctx, now, func(a storage.Appender) error {
		b := o.scraper.begin(a, now, to)
		for _, sample := range samples {
			if b.append(sample.Labels, sample.Value); b.err != nil {
				return b.err
			}
		}
		b.end()
		return b.err
	})
}
