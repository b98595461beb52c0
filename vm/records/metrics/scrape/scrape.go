// Package scrape asks programs for their metrics and appends them to a store, with the
// same bookkeeping as Prometheus: the series up, and a mark where a series ends. What is
// asked is not trusted: every answer is bounded in time, size and number of series, and
// redirects are not followed.
package scrape

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/skiff-dev/skiff/vm/records/metrics/exposition"
	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

const (
	// Limit bounds one request.
	Limit = 10 * time.Second
	// oldest is how much older than the request a sample's own time may be. A time that
	// is older or in the future is replaced.
	oldest = time.Minute
)

// Store is where samples are appended.
type Store interface {
	Append(ctx context.Context, now time.Time, add func(storage.Appender) error) error
	// Full reports whether no new series may be added: of the cluster itself, for which
	// some are reserved, or of others.
	Full(cluster bool) bool
}

// Result describes the last request to a target.
type Result struct {
	Time    time.Time
	Took    time.Duration
	Samples int
	// Refused is the number of samples that were not stored because their time does not
	// fit, and Excess the number of those whose series would have exceeded a limit.
	Refused, Excess int
	// Err is why there is no answer, nil if there is one.
	Err error
}

// Scraper asks one target. Its methods must not be called concurrently.
type Scraper struct {
	Target target.Target
	Client *http.Client
	// Describe receives the type and help of metrics; it may be nil.
	Describe func(metric, kind, help string)

	series series
}

// Scrape asks the target and appends what it answers, or that it did not. An error is
// that of the store; nothing was appended then.
func (s *Scraper) Scrape(ctx context.Context, now time.Time, to Store) (Result, error) {
	result := Result{Time: now}
	content, contentType, err := s.fetch(ctx)
	if ctx.Err() != nil {
		return result, ctx.Err()
	}
	result.Took = time.Since(now)
	if err == nil {
		err = to.Append(ctx, now, func(a storage.Appender) error {
			b := s.begin(a, now, to)
			if err := b.parse(content, contentType); err != nil {
				return err
			}
			result.Samples, result.Refused, result.Excess = b.samples, b.refused, b.excess
			b.own(result)
			b.end()
			return b.err
		})
		if err == nil || !answers(err) {
			return result, err
		}
	}
	result.Err = err
	return result, s.fail(ctx, now, to, result)
}

// answers reports whether an error is about what the target answered.
func answers(err error) bool { var bad *badAnswer; return errors.As(err, &bad) }

// badAnswer is an answer that is not used.
type badAnswer struct{ error }

func (b *badAnswer) Unwrap() error { return b.error }

// fail marks the end of all series and appends that the target is down.
func (s *Scraper) fail(ctx context.Context, now time.Time, to Store, result Result) error {
	return to.Append(ctx, now, func(a storage.Appender) error {
		b := s.begin(a, now, to)
		b.own(result)
		b.end()
		return b.err
	})
}

// End marks the end of all series of a target that no longer exists.
func (s *Scraper) End(ctx context.Context, now time.Time, to Store) error {
	return to.Append(ctx, now, func(a storage.Appender) error {
		b := s.begin(a, now, to)
		b.end()
		return b.err
	})
}

// fetch returns the lines of the answer that are kept.
func (s *Scraper) fetch(ctx context.Context) (content []byte, contentType string, err error) {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Target.URL, nil)
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Accept", exposition.Accept)
	request.Header.Set("Accept-Encoding", "gzip")
	request.Header.Set("User-Agent", "skiff-daemon")
	response, err := s.Client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("it answered %s", response.Status)
	}
	body := io.Reader(response.Body)
	if response.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return nil, "", fmt.Errorf("decompress the answer: %w", err)
		}
	}
	content, err = exposition.Select(body, s.Target.Filter, s.Target.MaxBytes)
	return content, response.Header.Get("Content-Type"), err
}

// parse appends the samples of an answer.
func (b *batch) parse(content []byte, contentType string) error {
	err := exposition.Parse(content, contentType, b.target.Limits, exposition.Reader{Sample: b.sample, Describe: b.describe})
	if err != nil && b.err == nil {
		return &badAnswer{err}
	}
	return b.err
}

// own appends the series about the request itself.
func (b *batch) own(result Result) {
	up := 1.0
	if result.Err != nil {
		up = 0
	}
	b.append(labels.FromStrings(model.MetricNameLabel, "up"), up)
	b.append(labels.FromStrings(model.MetricNameLabel, "scrape_duration_seconds"), result.Took.Seconds())
	b.append(labels.FromStrings(model.MetricNameLabel, "scrape_samples_scraped"), float64(result.Samples))
	if result.Excess > 0 {
		b.append(labels.FromStrings(model.MetricNameLabel, "scrape_samples_refused"), float64(result.Excess))
	}
}
