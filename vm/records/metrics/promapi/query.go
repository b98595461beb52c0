package promapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// body is the part of an answer that differs between requests.
type body struct {
	data     []byte // JSON
	warnings []string
	infos    []string
}

func (a *API) query(ctx context.Context, r *http.Request) (body, error) {
	at, err := timeOr(r, "time", time.Now())
	if err != nil {
		return body{}, err
	}
	return a.evaluate(ctx, r, func(ctx context.Context, from storage.Queryable, options promql.QueryOpts, expression string) (promql.Query, error) {
		return a.engine.NewInstantQuery(ctx, from, options, expression, at)
	})
}

func (a *API) queryRange(ctx context.Context, r *http.Request) (body, error) {
	start, err := parseTime(r.FormValue("start"))
	if err != nil {
		return body{}, bad("start", err)
	}
	end, err := parseTime(r.FormValue("end"))
	if err != nil {
		return body{}, bad("end", err)
	}
	step, err := parseDuration(r.FormValue("step"))
	if err != nil {
		return body{}, bad("step", err)
	}
	switch {
	case end.Before(start):
		return body{}, bad("end", errors.New("end timestamp must not be before start time"))
	case step <= 0:
		return body{}, bad("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	case end.Sub(start)/step > maxPoints:
		return body{}, bad("", errors.New("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"))
	}
	return a.evaluate(ctx, r, func(ctx context.Context, from storage.Queryable, options promql.QueryOpts, expression string) (promql.Query, error) {
		return a.engine.NewRangeQuery(ctx, from, options, expression, start, end, step)
	})
}

// evaluate evaluates the query that prepare returns for the request's expression, and
// encodes the result, which is valid only until the query is closed.
func (a *API) evaluate(ctx context.Context, r *http.Request,
	prepare func(ctx context.Context, from storage.Queryable, options promql.QueryOpts, expression string) (promql.Query, error),
) (body, error) {
	ctx, cancel, err := withTimeout(ctx, r)
	if err != nil {
		return body{}, err
	}
	defer cancel()
	queryable, err := a.queryable(r)
	if err != nil {
		return body{}, err
	}
	options, err := queryOptions(r)
	if err != nil {
		return body{}, err
	}
	expression := r.FormValue("query")
	query, err := prepare(ctx, queryable, options, expression)
	if err != nil {
		return body{}, bad("query", err)
	}
	defer query.Close()
	limit, err := parseLimit(r)
	if err != nil {
		return body{}, err
	}
	result := query.Exec(ctx)
	if result.Err != nil {
		return body{}, result.Err
	}
	answer := annotated(result.Warnings, expression)
	if truncate(result, limit) {
		answer.warnings = append(answer.warnings, "results truncated due to limit")
	}
	answer.data = encodeValue(result.Value)
	return answer, nil
}

// truncate shortens a result to a number of series, 0 for all, and reports whether it was
// longer.
func truncate(result *promql.Result, limit int) bool {
	if limit == 0 {
		return false
	}
	switch v := result.Value.(type) {
	case promql.Matrix:
		if len(v) > limit {
			result.Value = v[:limit]
			return true
		}
	case promql.Vector:
		if len(v) > limit {
			result.Value = v[:limit]
			return true
		}
	}
	return false
}

func annotated(all annotations.Annotations, query string) body {
	var answer body
	answer.warnings, answer.infos = all.AsStrings(query, 10, 10)
	return answer
}

// queryOptions reads the parameters of the engine.
func queryOptions(r *http.Request) (promql.QueryOpts, error) {
	var delta time.Duration
	if text := r.FormValue("lookback_delta"); text != "" {
		var err error
		if delta, err = parseDuration(text); err != nil {
			return nil, bad("", fmt.Errorf("error parsing lookback delta duration: %w", err))
		}
	}
	return promql.NewPrometheusQueryOpts(false, delta), nil
}

// withTimeout applies the parameter timeout.
func withTimeout(ctx context.Context, r *http.Request) (context.Context, context.CancelFunc, error) {
	text := r.FormValue("timeout")
	if text == "" {
		return ctx, func() {}, nil
	}
	timeout, err := parseDuration(text)
	if err != nil {
		return nil, nil, bad("timeout", err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return ctx, cancel, nil
}

func (a *API) formatQuery(_ context.Context, r *http.Request) (body, error) {
	expression, err := a.parser.ParseExpr(r.FormValue("query"))
	if err != nil {
		return body{}, bad("query", err)
	}
	return body{data: appendString(nil, expression.Pretty(0))}, nil
}

// selection is what the requests for series and labels have in common.
type selection struct {
	matchers [][]*labels.Matcher
	querier  storage.Querier
	from, to int64
	limit    int
}

// selection reads the parameters match[], start, end and limit. The caller closes its
// querier.
func (a *API) selection(r *http.Request) (s selection, err error) {
	if s.limit, err = parseLimit(r); err != nil {
		return s, err
	}
	start, err := timeOr(r, "start", time.UnixMilli(minTime))
	if err != nil {
		return s, err
	}
	end, err := timeOr(r, "end", time.UnixMilli(maxTime))
	if err != nil {
		return s, err
	}
	if s.matchers, err = a.parser.ParseMetricSelectors(r.Form["match[]"]); err != nil {
		return s, bad("match[]", err)
	}
	for _, set := range s.matchers {
		if !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return m != nil && !m.Matches("") }) {
			return s, bad("match[]", errors.New("match[] must contain at least one non-empty matcher"))
		}
	}
	s.from, s.to = start.UnixMilli(), end.UnixMilli()
	s.querier, err = a.querier(r, s.from, s.to)
	return s, err
}

func (a *API) series(ctx context.Context, r *http.Request) (body, error) {
	if len(r.Form["match[]"]) == 0 {
		return body{}, bad("", errors.New("no match[] parameter provided"))
	}
	s, err := a.selection(r)
	if err != nil {
		return body{}, err
	}
	defer func() { _ = s.querier.Close() }()
	hints := &storage.SelectHints{Start: s.from, End: s.to, Func: "series"}
	var sets []storage.SeriesSet
	for _, matchers := range s.matchers {
		sets = append(sets, s.querier.Select(ctx, true, hints, matchers...))
	}
	all := storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge)
	data, count := []byte{'['}, 0
	for ; all.Next(); count++ {
		if err := ctx.Err(); err != nil {
			return body{}, err
		}
		if s.limit > 0 && count == s.limit {
			break
		}
		if count > 0 {
			data = append(data, ',')
		}
		data = appendLabels(data, all.At().Labels())
	}
	if err := all.Err(); err != nil {
		return body{}, err
	}
	answer := annotated(all.Warnings(), "")
	if s.limit > 0 && count == s.limit && all.Next() {
		answer.warnings = append(answer.warnings, "results truncated due to limit")
	}
	answer.data = append(data, ']')
	return answer, nil
}

func (a *API) labels(ctx context.Context, r *http.Request) (body, error) {
	return a.names(r, func(s selection, matchers []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return s.querier.LabelNames(ctx, &storage.LabelHints{}, matchers...)
	})
}

func (a *API) labelValues(ctx context.Context, r *http.Request) (body, error) {
	name := r.PathValue("name")
	if !model.UTF8Validation.IsValidLabelName(name) {
		return body{}, bad("", fmt.Errorf("invalid label name: %q", name))
	}
	return a.names(r, func(s selection, matchers []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return s.querier.LabelValues(ctx, name, &storage.LabelHints{}, matchers...)
	})
}

// names returns the union of what list finds for each set of matchers.
func (a *API) names(r *http.Request, list func(selection, []*labels.Matcher) ([]string, annotations.Annotations, error)) (body, error) {
	s, err := a.selection(r)
	if err != nil {
		return body{}, err
	}
	defer func() { _ = s.querier.Close() }()
	if len(s.matchers) == 0 {
		s.matchers = [][]*labels.Matcher{nil}
	}
	found := map[string]bool{}
	var noted annotations.Annotations
	for _, matchers := range s.matchers {
		names, more, err := list(s, matchers)
		if err != nil {
			return body{}, err
		}
		noted.Merge(more)
		for _, name := range names {
			found[name] = true
		}
	}
	all := slices.Sorted(maps.Keys(found))
	answer := annotated(noted, "")
	if s.limit > 0 && len(all) > s.limit {
		all = all[:s.limit]
		answer.warnings = append(answer.warnings, "results truncated due to limit")
	}
	answer.data = encodeStrings(all)
	return answer, nil
}

func (a *API) metadata(_ context.Context, r *http.Request) (body, error) {
	limit, wanted := -1, r.FormValue("metric")
	if text := r.FormValue("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil {
			return body{}, bad("", errors.New("limit must be a number"))
		}
	}
	described := map[string][]Metadata{}
	if a.config.Metadata != nil {
		all := a.config.Metadata()
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if limit >= 0 && len(described) >= limit {
				break
			}
			if wanted == "" || wanted == name {
				described[name] = []Metadata{all[name]}
			}
		}
	}
	return encoded(described)
}

func (a *API) targets(context.Context, *http.Request) (body, error) {
	active := []Target{}
	if a.config.Targets != nil {
		active = append(active, a.config.Targets()...)
	}
	return encoded(map[string]any{"activeTargets": active, "droppedTargets": []Target{}, "droppedTargetCounts": map[string]int{}})
}

// buildInfo names the version of Prometheus whose API this is: Grafana decides by it which
// requests it sends.
func (a *API) buildInfo(context.Context, *http.Request) (body, error) {
	return encoded(map[string]string{
		"version": prometheusVersion, "revision": "skiff", "branch": "", "buildUser": "", "buildDate": "",
		"goVersion": runtime.Version(),
	})
}

// prometheusVersion is the version of Prometheus that the module was released with.
const prometheusVersion = "3.13.0"

func none(context.Context, *http.Request) (body, error) { return body{data: []byte("[]")}, nil }

func noRules(context.Context, *http.Request) (body, error) {
	return body{data: []byte(`{"groups":[]}`)}, nil
}

func noAlerts(context.Context, *http.Request) (body, error) {
	return body{data: []byte(`{"alerts":[]}`)}, nil
}
