package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSelectorsOfLabelsBecomeConditions(t *testing.T) {
	for selector, want := range map[string]string{
		"app=web":                 `"label.app":in("web")`,
		"app in (web,api)":        `"label.app":in("api","web")`,
		"tier!=cache":             `-"label.tier":in("cache")`,
		"a/b.c,!d":                `"label.a/b.c":* -"label.d":*`,
		"n>3":                     `"label.n":>3`,
		"app==web,tier notin (x)": `"label.app":in("web") -"label.tier":in("x")`,
	} {
		if got, err := Selector(selector); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", selector, got, err, want)
		}
	}
	for _, selector := range []string{"=", "a in", "a b", `a="x"`} {
		if got, err := Selector(selector); err == nil {
			t.Errorf("%s: %s", selector, got)
		}
	}
}

func TestConditionsAreQuoted(t *testing.T) {
	if got, want := Is("pod", `a" or *:*`), `"pod":="a\" or *:"*`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := Is("pod", "web-*"), `"pod":="web-"*`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// store answers with entries, perSecond of each second, and counts them.
func store(t *testing.T, entries, perSecond int) *Client {
	begin := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	bound := func(r *http.Request, name string, otherwise time.Time) time.Time {
		at, err := time.Parse(time.RFC3339Nano, r.FormValue(name))
		if err != nil {
			return otherwise
		}
		return at
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.FormValue("query")
		if query == "|" {
			http.Error(w, "cannot parse query", http.StatusBadRequest)
			return
		}
		since, until := bound(r, "start", begin), bound(r, "end", begin.Add(1000*time.Hour))
		counts := map[time.Time]int{}
		_, step, counting := strings.Cut(query, "(_time:")
		every, _ := time.ParseDuration(strings.SplitN(step, ")", 2)[0])
		for i := entries - 1; i >= 0; i-- { // in no useful order
			at := begin.Add(time.Duration(i/perSecond)*time.Second + time.Duration(i%perSecond))
			if at.Before(since) || at.After(until) {
				continue
			}
			if counting {
				counts[at.Truncate(every)]++
				continue
			}
			text, _ := json.Marshal(map[string]string{"_time": at.Format(time.RFC3339Nano), "_msg": fmt.Sprint(i)})
			_, _ = w.Write(append(text, '\n'))
		}
		for at, n := range counts {
			fmt.Fprintf(w, "{\"_time\":%q,\"n\":\"%d\"}\n", at.Format(time.RFC3339Nano), n)
		}
	}))
	t.Cleanup(server.Close)
	return &Client{Transport: http.DefaultTransport, Base: server.URL}
}

func TestASearchOfManyEntriesShowsEachOnceAndInOrder(t *testing.T) {
	for _, perSecond := range []int{2, 700, 1_000_000} {
		const entries = 2*page + 7
		next := 0
		err := store(t, entries, perSecond).Search(t.Context(), Question{}, func(e Entry) error {
			if e.Fields["_msg"] != fmt.Sprint(next) {
				return fmt.Errorf("got %s, want %d", e.Fields["_msg"], next)
			}
			next++
			return nil
		})
		if err != nil || next != entries {
			t.Errorf("%d a second: %d entries, %v", perSecond, next, err)
		}
	}
}

func TestASearchStaysWithinItsTime(t *testing.T) {
	begin := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	var shown []string
	err := store(t, 600, 1).Search(t.Context(), Question{Since: begin.Add(130 * time.Second), Until: begin.Add(133 * time.Second)}, func(e Entry) error {
		shown = append(shown, e.Fields["_msg"])
		return nil
	})
	if err != nil || strings.Join(shown, " ") != "130 131 132" {
		t.Errorf("%v, %v", shown, err)
	}
}

func TestARefusedQueryReturnsTheReason(t *testing.T) {
	err := store(t, 1, 1).Search(t.Context(), Question{Query: "|"}, func(Entry) error { return nil })
	if refused := new(RefusedError); !errors.As(err, &refused) || refused.Error() != "cannot parse query" {
		t.Errorf("%v", err)
	}
}

func TestFollowShowsEntriesThatArriveLate(t *testing.T) {
	begun := time.Now()
	var mu sync.Mutex
	entries := map[string]time.Time{"first": begun.Add(-5 * time.Second)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		since, _ := time.Parse(time.RFC3339Nano, r.FormValue("start"))
		for text, at := range entries {
			switch {
			case at.Before(since):
			case strings.Contains(r.FormValue("query"), "count()"):
				fmt.Fprintf(w, "{\"_time\":%q,\"n\":\"1\"}\n", at.UTC().Truncate(time.Minute).Format(time.RFC3339Nano))
			default:
				fmt.Fprintf(w, "{\"_time\":%q,\"_msg\":%q}\n", at.UTC().Format(time.RFC3339Nano), text)
			}
		}
	}))
	defer server.Close()
	c := &Client{Transport: http.DefaultTransport, Base: server.URL}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var shown []string
	err := c.Follow(ctx, Question{Last: 1}, func(e Entry) error {
		mu.Lock()
		defer mu.Unlock()
		// These were written before, and reach the store now.
		entries["older"], entries["late"] = begun.Add(-6*time.Second), begun.Add(-time.Second)
		if shown = append(shown, e.Fields["_msg"]); len(shown) == 2 {
			cancel()
		}
		return nil
	})
	if err != nil || !slices.Equal(shown, []string{"first", "late"}) {
		t.Errorf("%q, %v", shown, err)
	}
}
