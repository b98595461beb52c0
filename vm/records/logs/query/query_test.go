package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
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

// store answers with entries of one second each, all at once or a page.
func store(t *testing.T, entries int) *Client {
	begin := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		since, err := time.Parse(time.RFC3339Nano, r.FormValue("start"))
		if err != nil && r.FormValue("start") != "" {
			t.Error(err)
		}
		limit := entries
		if _, text, ok := strings.Cut(r.FormValue("query"), "limit "); ok {
			limit, _ = strconv.Atoi(text)
		}
		if r.FormValue("query") == "|" {
			http.Error(w, "cannot parse query", http.StatusBadRequest)
			return
		}
		for i := 0; i < entries && limit > 0; i++ {
			if at := begin.Add(time.Duration(i/2) * time.Second); !at.Before(since) {
				text, _ := json.Marshal(map[string]string{"_time": at.Format(time.RFC3339Nano), "_msg": fmt.Sprint(i), "_stream_id": fmt.Sprint(i % 2)})
				_, _ = w.Write(append(text, '\n'))
				limit--
			}
		}
	}))
	t.Cleanup(server.Close)
	return &Client{Transport: http.DefaultTransport, Base: server.URL}
}

func TestASearchOfManyEntriesShowsEachOnceAndInOrder(t *testing.T) {
	const entries = 2*page + 7
	next := 0
	err := store(t, entries).Search(t.Context(), Question{}, func(e Entry) error {
		if e.Fields["_msg"] != fmt.Sprint(next) {
			return fmt.Errorf("got %s, want %d", e.Fields["_msg"], next)
		}
		next++
		return nil
	})
	if err != nil || next != entries {
		t.Errorf("%d entries, %v", next, err)
	}
}

func TestARefusedQueryIsTold(t *testing.T) {
	err := store(t, 1).Search(t.Context(), Question{Query: "|"}, func(Entry) error { return nil })
	if refused := new(RefusedError); !errors.As(err, &refused) || refused.Error() != "cannot parse query" {
		t.Errorf("%v", err)
	}
}
