package main

import (
	"io"
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

func write(value string, call, end int64) porcupine.Operation {
	return porcupine.Operation{Input: operation{write: true, value: value}, Call: call, Return: end}
}

func read(value string, call, end int64) porcupine.Operation {
	return porcupine.Operation{Input: operation{}, Output: value, Call: call, Return: end}
}

func TestALostOrStaleWriteIsFound(t *testing.T) {
	for name, tt := range map[string]struct {
		history []porcupine.Operation
		ok      bool
	}{
		"in order":                      {[]porcupine.Operation{write("a", 0, 1), read("a", 2, 3)}, true},
		"lost":                          {[]porcupine.Operation{write("a", 0, 1), read("", 2, 3)}, false},
		"stale":                         {[]porcupine.Operation{write("a", 0, 1), write("b", 2, 3), read("a", 4, 5)}, false},
		"at once, either is right":      {[]porcupine.Operation{write("a", 0, 9), write("b", 0, 9), read("a", 10, 11)}, true},
		"back and forth":                {[]porcupine.Operation{write("a", 0, 9), write("b", 0, 9), read("a", 10, 11), read("b", 12, 13)}, false},
		"unknown, done late":            {[]porcupine.Operation{write("a", 0, math.MaxInt64), read("", 2, 3), read("a", 4, 5)}, true},
		"unknown, seen and then unseen": {[]porcupine.Operation{write("a", 0, math.MaxInt64), read("a", 2, 3), read("", 4, 5)}, false},
		"unknown, never done":           {[]porcupine.Operation{write("a", 0, math.MaxInt64), read("", 2, 3)}, true},
	} {
		for _, history := range [][]porcupine.Operation{tt.history, settle(tt.history)} {
			if got := porcupine.CheckOperations(model, history); got != tt.ok {
				t.Errorf("%s: linearizable is %v", name, got)
			}
		}
	}
}

func TestAWatchWithAGapIsFound(t *testing.T) {
	writes := []acknowledgement{{"key-0", "a", 5}, {"key-0", "b", 7}, {"key-0", "c", 9}}
	for name, tt := range map[string]struct {
		see  func(*watcher)
		gaps int
	}{
		"whole":             {func(w *watcher) { w.saw("key-0", "a", 5); w.saw("key-0", "b", 7); w.saw("key-0", "c", 9) }, 0},
		"ended early":       {func(w *watcher) { w.saw("key-0", "a", 5) }, 0},
		"gap":               {func(w *watcher) { w.saw("key-0", "a", 5); w.saw("key-0", "c", 9) }, 1},
		"gap at a bookmark": {func(w *watcher) { w.saw("key-0", "a", 5); w.bookmark(8) }, 1},
		"other value":       {func(w *watcher) { w.saw("key-0", "x", 5) }, 1},
		"out of order":      {func(w *watcher) { w.saw("key-0", "b", 7); w.saw("key-0", "a", 5) }, 1},
	} {
		h := newHistory()
		w := h.watcher(0, "4")
		tt.see(w)
		if got := w.gaps(writes); len(got) != tt.gaps {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTheFinalStateIsPartOfTheHistory(t *testing.T) {
	h := newHistory()
	h.wrote(0, 0, "a", 5, h.now())
	time.Sleep(time.Millisecond)
	if err := h.check(io.Discard, map[string][]string{keyName(0): {"a", "a", "a"}}); err != nil {
		t.Error(err)
	}
	if err := h.check(io.Discard, map[string][]string{keyName(0): {"a", "", "a"}}); err == nil {
		t.Error("a member that lost a write was not found")
	}
}
