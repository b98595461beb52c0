package scrape

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/skiff-dev/skiff/vm/records/metrics/exposition"
	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

// memory is a store of the last round.
type memory struct {
	storage.Appender
	round map[string]float64 // what was appended last, by series
	times map[string]int64
	full  bool
	fails error
	refs  storage.SeriesRef
}

func (m *memory) Append(_ context.Context, _ time.Time, add func(storage.Appender) error) error {
	a := &appender{memory: m, round: map[string]float64{}, times: map[string]int64{}}
	if err := add(a); err != nil {
		return err
	}
	m.round, m.times = a.round, a.times
	return nil
}

func (m *memory) Full(bool) bool { return m.full }

type appender struct {
	storage.Appender
	*memory
	round map[string]float64
	times map[string]int64
}

func (a *appender) Append(_ storage.SeriesRef, l labels.Labels, at int64, v float64) (storage.SeriesRef, error) {
	if a.fails != nil {
		return 0, a.fails
	}
	if _, twice := a.times[l.String()]; twice {
		return 0, storage.ErrDuplicateSampleForTimestamp
	}
	a.round[l.String()] = v
	a.times[l.String()] = at
	a.refs++
	return a.refs, nil
}

// shown returns what was appended last, without the series about the request itself.
func (m *memory) shown() string {
	var all []string
	for _, series := range slices.Sorted(maps.Keys(m.round)) {
		name, _, _ := strings.Cut(strings.TrimPrefix(series, `{__name__="`), `"`)
		switch v := m.round[series]; {
		case strings.HasPrefix(name, "scrape_"):
		case value.IsStaleNaN(v):
			all = append(all, name+"=stale")
		default:
			all = append(all, fmt.Sprintf("%s=%g", name, v))
		}
	}
	return strings.Join(all, " ")
}

func scraperOf(t *testing.T, handler http.HandlerFunc) *Scraper {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &Scraper{
		Target: target.Target{
			URL: server.URL + "/metrics", Labels: labels.FromStrings("job", "test"), MaxBytes: 1 << 20,
			Limits: exposition.Limits{Samples: 10, Labels: 10, LabelBytes: 100},
		},
		Client: server.Client(),
	}
}

func TestSeriesThatEndAreMarked(t *testing.T) {
	var text string
	var status int
	s := scraperOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	})
	m := &memory{}
	for _, step := range []struct {
		text   string
		status int
		want   string
	}{
		{"a 1\nb 2\n", 200, "a=1 b=2 up=1"},
		{"a 3\n", 200, "a=3 b=stale up=1"},
		{"a 4\nc{job=\"other\"} 5\n", 200, "a=4 c=5 up=1"},
		{"", 500, "a=stale c=stale up=0"},
		{"", 500, "up=0"},
		{"a 6\n", 200, "a=6 up=1"},
		{"a 6\n{", 200, "a=stale up=0"},
		{strings.Repeat("a 1\n", 11), 200, "up=0"},
	} {
		text, status = step.text, step.status
		result, err := s.Scrape(t.Context(), time.Now(), m)
		if err != nil {
			t.Fatal(err)
		}
		if m.shown() != step.want {
			t.Errorf("%q: %s, want %s (%v)", step.text, m.shown(), step.want, result.Err)
		}
	}
	if err := s.End(t.Context(), time.Now(), m); err != nil || m.shown() != "up=stale" {
		t.Errorf("at the end: %s, %v", m.shown(), err)
	}
}

func TestLabelsOfTheTargetWin(t *testing.T) {
	s := scraperOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `a{job="forged",x="y"} 1`+"\n") })
	m := &memory{}
	if _, err := s.Scrape(t.Context(), time.Now(), m); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.round[`{__name__="a", exported_job="forged", job="test", x="y"}`]; !ok {
		t.Errorf("appended %v", m.round)
	}
}

func TestATimeIsUsedOnlyIfItIsRecent(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	s := scraperOf(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "recent 1 1699999990000\nold 1 1600000000000\nfuture 1 1800000000000\nnone 1")
	})
	for _, used := range []bool{true, false} {
		s.Target.Times = used
		m := &memory{}
		if _, err := s.Scrape(t.Context(), now, m); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int64{"recent": 1_699_999_990_000, "old": now.UnixMilli(), "future": now.UnixMilli(), "none": now.UnixMilli()} {
			if !used {
				want = now.UnixMilli()
			}
			if at := m.times[fmt.Sprintf(`{__name__=%q, job="test"}`, name)]; at != want {
				t.Errorf("%s: %d, want %d", name, at, want)
			}
		}
	}
}

func TestHostileTargetsAreBounded(t *testing.T) {
	redirected := false
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			redirected = redirected || r.URL.Path != "/metrics"
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, "it answered 302 Found"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := fmt.Fprintln(w, "# padding padding padding padding padding padding padding"); err != nil {
					return
				}
			}
		}, exposition.ErrTooLarge.Error()},
		"a bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for range 1 << 10 {
				_, _ = z.Write(make([]byte, 1<<12))
			}
			_ = z.Close()
		}, exposition.ErrTooLarge.Error()},
		"no compression": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "a 1\n")
		}, "decompress the answer"},
		"too many": {func(w http.ResponseWriter, _ *http.Request) {
			for i := range 20 {
				fmt.Fprintf(w, "a%d 1\n", i)
			}
		}, exposition.ErrTooMany.Error()},
	} {
		s := scraperOf(t, test.handler)
		s.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		m := &memory{}
		result, err := s.Scrape(t.Context(), time.Now(), m)
		if err != nil || result.Err == nil || !strings.Contains(result.Err.Error(), test.want) || m.shown() != "up=0" {
			t.Errorf("%s: %v, %v, appended %s", name, result.Err, err, m.shown())
		}
	}
	if redirected {
		t.Error("a redirect was followed")
	}
}

func TestNoNewSeriesAreAddedToAFullStore(t *testing.T) {
	text := "a 1\n"
	s := scraperOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
	m := &memory{}
	if _, err := s.Scrape(t.Context(), time.Now(), m); err != nil {
		t.Fatal(err)
	}
	m.full, text = true, "a 2\nb 1\n"
	result, err := s.Scrape(t.Context(), time.Now(), m)
	if err != nil || m.shown() != "a=2 up=1" || result.Excess != 1 {
		t.Errorf("appended %s, %d in excess, %v", m.shown(), result.Excess, err)
	}
}

func TestATargetBeginsALimitedNumberOfSeries(t *testing.T) {
	text := ""
	s := scraperOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
	s.Target.MaxBegun = 3
	m := &memory{}
	now := time.Now()
	for i, step := range []struct {
		text   string
		at     time.Duration
		want   string
		excess int
	}{
		{"a 1\nb 1\n", 0, "a=1 b=1 up=1", 0},
		{"a 2\nc 1\nd 1\ne 1\n", time.Minute, "a=2 b=stale c=1 up=1", 2},
		{"a 3\nf 1\n", 59 * time.Minute, "a=3 c=stale up=1", 1},
		{"a 4\nf 1\n", 60 * time.Minute, "a=4 f=1 up=1", 0},
	} {
		text = step.text
		result, err := s.Scrape(t.Context(), now.Add(step.at), m)
		if err != nil {
			t.Fatal(err)
		}
		if m.shown() != step.want || result.Excess != step.excess {
			t.Errorf("step %d: appended %s, %d in excess, want %s, %d", i, m.shown(), result.Excess, step.want, step.excess)
		}
		if counted := m.round[`{__name__="scrape_samples_refused", job="test"}`]; step.excess > 0 && counted != float64(step.excess) {
			t.Errorf("step %d: scrape_samples_refused is %g", i, counted)
		}
	}
}

func TestAnErrorOfTheStoreIsReturned(t *testing.T) {
	s := scraperOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a 1\n") })
	broken := errors.New("broken")
	if _, err := s.Scrape(t.Context(), time.Now(), &memory{fails: broken}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Scrape(t.Context(), time.Now(), &memory{}); err != nil {
		t.Fatal(err)
	}
	if err := s.End(t.Context(), time.Now(), &memory{fails: broken}); !errors.Is(err, broken) {
		t.Errorf("at the end: %v", err)
	}
	var own Own
	if err := own.Append(t.Context(), time.Now(), []target.Sample{{Labels: labels.FromStrings("__name__", "a")}}, &memory{fails: broken}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestOwnSamplesEndWhenTheyAreGone(t *testing.T) {
	var own Own
	m := &memory{}
	sample := func(name string) target.Sample {
		return target.Sample{Labels: labels.FromStrings(model.MetricNameLabel, name), Value: 1}
	}
	for _, step := range []struct {
		names []string
		want  string
	}{{[]string{"a", "b"}, "a=1 b=1"}, {[]string{"b"}, "a=stale b=1"}, {nil, "b=stale"}} {
		var samples []target.Sample
		for _, name := range step.names {
			samples = append(samples, sample(name))
		}
		if err := own.Append(t.Context(), time.Now(), samples, m); err != nil || m.shown() != step.want {
			t.Errorf("%v: %s, want %s, %v", step.names, m.shown(), step.want, err)
		}
	}
}
