package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// part is one run of ginkgo.
type part struct {
	name string
	// focus and skip are regular expressions for names. A test must match one of
	// focus and none of skip.
	focus, skip []string
	// labels is ginkgo's label filter; it may be empty.
	labels string
	procs  int
}

// serial marks tests that must run alone.
const serial = `[Serial]`

// coreEvery is the number of conformance tests of a SIG for each one in the core.
const coreEvery = 6

// parts returns the runs for the options and the names of all tests: first the
// tests that may run at the same time, then those that must run alone.
func parts(o options, names []string) ([]part, error) {
	focus := []string{o.focus}
	var skip []string
	switch {
	case o.core:
		focus = alternatives(core(names))
	case o.suite != "":
		s, err := findSuite(o.suite)
		if err != nil {
			return nil, err
		}
		skip = s.skip(o.driver)
		if focus = []string{s.focus}; o.focus != "" {
			if focus, err = narrow(names, s.focus, o.focus); err != nil {
				return nil, err
			}
		}
	case o.focus == "":
		focus = []string{`\[Conformance\]`}
	}
	if o.skip != "" {
		skip = append(skip, o.skip)
	}
	parallel := part{name: "parallel", focus: focus, skip: skip, labels: "!Serial", procs: o.procs}
	if o.core {
		return []part{parallel}, nil
	}
	return []part{parallel, {name: "serial", focus: focus, skip: skip, labels: "Serial", procs: 1}}, nil
}

// slow marks tests that take minutes.
const slow = `[Slow]`

// patient marks tests that wait four minutes to see that nothing happens.
const patient = "should *not* be restarted"

// core returns the first conformance test of each SIG and every coreEvery-th after
// it, without serial, slow and patient ones.
func core(names []string) []string {
	var chosen []string
	seen := map[string]int{}
	for _, name := range names {
		sig, _, _ := strings.Cut(name, "]")
		if strings.Contains(name, serial) || strings.Contains(name, slow) || strings.Contains(name, patient) {
			continue
		}
		if seen[sig]%coreEvery == 0 {
			chosen = append(chosen, name)
		}
		seen[sig]++
	}
	return chosen
}

// narrow returns the names that match both expressions, which ginkgo cannot do.
func narrow(names []string, a, b string) ([]string, error) {
	first, err := regexp.Compile(a)
	if err != nil {
		return nil, err
	}
	second, err := regexp.Compile(b)
	if err != nil {
		return nil, fmt.Errorf("focus: %w", err)
	}
	chosen := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !first.MatchString(name) || !second.MatchString(name)
	})
	if len(chosen) == 0 {
		return nil, errors.New("no test of the suite matches the focus")
	}
	return alternatives(chosen), nil
}

// atOnce is the number of names in one expression: a program's argument is at most
// 128 KiB long (execve(2)).
const atOnce = 200

// alternatives returns expressions that match exactly these names.
func alternatives(names []string) (all []string) {
	for some := range slices.Chunk(names, atOnce) {
		quoted := make([]string, len(some))
		for i, name := range some {
			quoted[i] = regexp.QuoteMeta(name)
		}
		all = append(all, strings.Join(quoted, "|"))
	}
	return all
}
