package main

import (
	"fmt"
	"regexp"
	"strings"
)

// part is one run of ginkgo.
type part struct {
	name  string
	focus string
	skip  []string
	// labels is ginkgo's filter, if not empty.
	labels string
	procs  int
}

// serial marks tests that need the cluster for themselves.
const serial = `[Serial]`

// coreEvery is how many conformance tests of a SIG there are for each that
// belongs to the core.
const coreEvery = 6

// parts are the runs that o asks for: tests that may run side by side, then
// those that must not.
func parts(o options, names []string) ([]part, error) {
	focus := o.focus
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
		if focus = s.focus; o.focus != "" {
			focus = both(s.focus, o.focus)
		}
	case focus == "":
		focus = `\[Conformance\]`
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

// patient marks tests that watch for four minutes that nothing happens.
const patient = "should *not* be restarted"

// core are the first conformance test of each SIG and every coreEvery-th after
// it; serial, slow and patient ones are left out.
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

// both matches names in which a and b match, in whichever order.
func both(a, b string) string {
	return fmt.Sprintf("(?:%s).*(?:%s)|(?:%s).*(?:%s)", a, b, b, a)
}

func alternatives(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return strings.Join(quoted, "|")
}
