package promapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// queryable returns what a request may read: series that also match its extra filters,
// such as {namespace="shop"}. They apply where the store is read, so no expression gets
// around them. The request's form has been parsed.
func (a *API) queryable(r *http.Request) (storage.Queryable, error) {
	var matchers []*labels.Matcher
	for _, selector := range r.Form[daemonapi.ParameterMetricsFilter] {
		more, err := a.parser.ParseMetricSelector(selector)
		if err != nil {
			return nil, bad(daemonapi.ParameterMetricsFilter, err)
		}
		matchers = append(matchers, more...)
	}
	all, err := a.config.Queryable()
	if err != nil || len(matchers) == 0 {
		return all, err
	}
	return narrowed{all, matchers}, nil
}

// narrowed is the part of a store that satisfies matchers.
type narrowed struct {
	storage.Queryable
	matchers []*labels.Matcher
}

// Querier implements storage.Queryable.
func (n narrowed) Querier(from, to int64) (storage.Querier, error) {
	all, err := n.Queryable.Querier(from, to)
	if err != nil {
		return nil, err
	}
	return narrowedQuerier{all, n.matchers}, nil
}

type narrowedQuerier struct {
	all      storage.Querier
	matchers []*labels.Matcher
}

func (n narrowedQuerier) with(matchers []*labels.Matcher) []*labels.Matcher {
	return slices.Concat(n.matchers, matchers)
}

// Select implements storage.Querier.
func (n narrowedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	return n.all.Select(ctx, sorted, hints, n.with(matchers)...)
}

// LabelValues implements storage.Querier.
func (n narrowedQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return n.all.LabelValues(ctx, name, hints, n.with(matchers)...)
}

// LabelNames implements storage.Querier.
func (n narrowedQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return n.all.LabelNames(ctx, hints, n.with(matchers)...)
}

// Close implements storage.Querier.
func (n narrowedQuerier) Close() error { return n.all.Close() }
