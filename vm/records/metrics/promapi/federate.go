package promapi

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// latest is the newest sample of a series.
type latest struct {
	labels labels.Labels
	at     int64
	value  float64
}

// federate writes the newest sample of each selected series in Prometheus' text format.
func (a *API) federate(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), queryLimit)
	defer cancel()
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var samples []latest
	err := guard(func() (err error) {
		samples, err = a.newest(ctx, r, time.Now())
		return err
	})
	if err != nil {
		http.Error(w, err.Error(), failed(err).kind.status)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
	_, _ = w.Write(exposed(samples))
}

// newest returns the newest samples of the series that a request selects, by name.
func (a *API) newest(ctx context.Context, r *http.Request, now time.Time) ([]latest, error) {
	sets, err := a.parser.ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		return nil, bad("match[]", err)
	}
	from, to := now.Add(-lookback).UnixMilli(), now.UnixMilli()
	querier, err := a.querier(r, from, to)
	if err != nil {
		return nil, err
	}
	defer func() { _ = querier.Close() }()
	var selected []storage.SeriesSet
	for _, matchers := range sets {
		selected = append(selected, querier.Select(ctx, true, &storage.SelectHints{Start: from, End: to}, matchers...))
	}
	var samples []latest
	var iterator chunkenc.Iterator
	all := storage.NewMergeSeriesSet(selected, 0, storage.ChainedSeriesMerge)
	for all.Next() {
		series := all.At()
		sample := latest{labels: series.Labels()}
		found := false
		for iterator = series.Iterator(iterator); iterator.Next() == chunkenc.ValFloat; found = true {
			sample.at, sample.value = iterator.At()
		}
		if found && !value.IsStaleNaN(sample.value) && sample.labels.Get(model.MetricNameLabel) != "" {
			samples = append(samples, sample)
		}
	}
	slices.SortStableFunc(samples, func(a, b latest) int {
		return strings.Compare(a.labels.Get(model.MetricNameLabel), b.labels.Get(model.MetricNameLabel))
	})
	return samples, all.Err()
}

// exposed returns samples in the text format. Those without a label instance get an empty
// one, so that the reader does not add its own.
func exposed(samples []latest) []byte {
	var out []byte
	before := ""
	for _, sample := range samples {
		name := sample.labels.Get(model.MetricNameLabel)
		if name != before {
			out = append(append(append(out, "# TYPE "...), name...), " untyped\n"...)
			before = name
		}
		out = append(append(out, name...), '{')
		instance := false
		sample.labels.Range(func(l labels.Label) {
			if l.Name == model.MetricNameLabel {
				return
			}
			instance = instance || l.Name == "instance"
			out = append(append(append(out, l.Name...), `="`...), escape.Replace(l.Value)...)
			out = append(out, `",`...)
		})
		if !instance {
			out = append(out, `instance="",`...)
		}
		out[len(out)-1] = '}'
		out = strconv.AppendFloat(append(out, ' '), sample.value, 'g', -1, 64)
		out = append(strconv.AppendInt(append(out, ' '), sample.at, 10), '\n')
	}
	return out
}

// escape writes a value of a label in the text format.
var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
