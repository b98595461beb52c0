package store

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/records/logs/collect"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

func TestPartsMakeUpTheTimeRange(t *testing.T) {
	now := time.Now().UnixNano()
	second, day := int64(time.Second), 24*int64(time.Hour)
	for _, n := range []newest{
		{now: now}, {now: now, start: now - day}, {now: now, end: now - day}, {now: now, start: now - day, end: now - day/2},
		{now: now, start: now - second, end: now}, {now: now, start: now - 10*second, end: now}, {now: now, start: now, end: now - day},
	} {
		parts := n.parts()
		if len(parts) == 0 || len(parts) > 9 || parts[0].end != n.end || parts[len(parts)-1].start != n.start {
			t.Errorf("parts of %+v: %+v", n, parts)
		}
		for i, p := range parts[1:] {
			if p.end != parts[i].start {
				t.Errorf("parts of %+v: %+v", n, parts)
			}
		}
	}
}

func TestOnlySearchesForTheNewestEntriesAreDivided(t *testing.T) {
	for parameters, want := range map[string]bool{
		"query=*&limit=10": true, "query=error&limit=10&start=2026-01-01T00:00:00Z&end=1796000000": true, "query=*|fields+_time&limit=1": true,
		"query=*": false, "query=*&limit=0": false, "query=*&limit=x": false, "query=*&limit=10&offset=5": false, "query=*&limit=10&format=csv": false,
		"query=*|stats+count()&limit=10": false, "query=*|sort+by+(pod)&limit=10": false, "query=(&limit=10": false, "query=*&limit=10&end=never": false,
	} {
		if _, ok := newestOf(httptest.NewRequest("GET", "/?"+parameters, nil), time.Now()); ok != want {
			t.Errorf("%s: %t, want %t", parameters, ok, want)
		}
	}
}

func TestSearchesReturnTheNewestEntriesInTheirOrder(t *testing.T) {
	alone(t, func(t *testing.T, dir string) {
		s := open(t, dir)
		defer s.Close()
		now := time.Now().Truncate(time.Second)
		var rows []collect.Row
		for i := range 3000 { // the last hour has none
			field := entry.Field{Name: "kind", Value: []string{"even", "odd"}[i%2]}
			rows = append(rows, row(now.Add(-time.Hour-time.Duration(i)*time.Second), fmt.Sprintf("line %d", i), field))
		}
		if err := s.Add(rows); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all rows", func() bool { return strings.Count(ask(t, s, "query", url.Values{"query": {"*"}}), "\n") == len(rows) })
		at := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).UnixNano(), 10) }
		for _, extra := range []url.Values{
			{}, {"start": {at(-90 * time.Minute)}}, {"end": {at(-80 * time.Minute)}}, {"start": {at(-90 * time.Minute)}, "end": {at(-80 * time.Minute)}},
			{"start": {at(-time.Hour)}, "end": {at(0)}}, {daemonapi.ParameterLogFilter: {"kind:odd"}},
			{daemonapi.ParameterLogFilter: {"kind:odd", "kind:even"}}, {"start": {at(-3 * time.Hour)}, "end": {at(0)}, "time": {at(-70 * time.Minute)}},
		} {
			for _, query := range []string{"*", "kind:even", "kind:odd OR line", "_time:30m", "kind:even | fields _time, _msg", "options(concurrency=1) *"} {
				for _, limit := range []string{"1", "50", "700", "5000"} {
					parameters := url.Values{"query": {query}, "limit": {limit}}
					for name, values := range extra {
						parameters[name] = values
					}
					got := lines(ask(t, s, "query", parameters))
					parameters.Set("offset", "0") // the library answers as a whole
					if want := lines(ask(t, s, "query", parameters)); !slices.Equal(got, want) {
						t.Errorf("%v: %d lines, of which the first is %.80s, want %d and %.80s", parameters, len(got), first(got), len(want), first(want))
					}
				}
			}
		}
	})
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

func first(lines []string) string { return append(slices.Clone(lines), "")[0] }
