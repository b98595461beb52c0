package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// suite is a set of upstream's tests beyond conformance.
type suite struct {
	name string
	// focus is a regular expression for the names of its tests, tags included.
	focus string
	// without are the tests among them that cannot say anything about a cluster
	// of ours, beside those that no suite has.
	without []exclusion
	// needs is what the nodes must have, in words, and probe a command that
	// succeeds on a node that has it; empty if any node will do.
	needs string
	probe []string
	// workers is how many there must be, if more than a cluster has without it.
	workers int
}

// suites are what `-suite` names.
var suites = []suite{
	{name: "node", focus: `\[NodeConformance\]`},
	{
		name: "networkpolicy", focus: `\[Feature:NetworkPolicy\]`, without: networkPolicies,
		needs: "a kernel with nft_queue or xt_NFQUEUE: virtual machines have it, sandboxes have their host's",
		probe: []string{"sh", "-c", "! grep NetworkPolicies /run/skiff/alarms/nodeagent"},
	},
	{name: "apps", focus: `\[sig-apps\]`, without: applications},
	// The tests of our own storage class, which volumes.yaml describes, have no
	// SIG in their names. Two spread volumes over three nodes.
	{name: "storage", focus: `\[sig-storage\]|External Storage \[Driver: skiff-local\]`, without: volumes, workers: 3},
}

func findSuite(name string) (suite, error) {
	for _, s := range suites {
		if s.name == name {
			return s, nil
		}
	}
	return suite{}, fmt.Errorf("no suite %q; there are %s", name, strings.Join(suiteNames(), ", "))
}

func suiteNames() []string {
	var known []string
	for _, s := range suites {
		known = append(known, s.name)
	}
	return known
}

// exclusions are all of a suite's on nodes that driver makes.
func (s suite) exclusions(driver string) []exclusion {
	return slices.DeleteFunc(slices.Concat(everywhere, s.without), func(e exclusion) bool {
		return e.sandbox && driver != sandbox
	})
}

// skip is what ginkgo is told to leave out.
func (s suite) skip(driver string) []string {
	var patterns []string
	for _, e := range s.exclusions(driver) {
		patterns = append(patterns, e.pattern)
	}
	return patterns
}

// selection is what a suite is made of.
type selection struct {
	parallel, serial int
	// without counts the tests that each exclusion leaves out, the first that
	// matches; by its place among the suite's exclusions.
	without []int
}

// choose goes through the names of all of upstream's tests.
func (s suite) choose(names []string, driver string) selection {
	focus := regexp.MustCompile(s.focus)
	var skips []*regexp.Regexp
	for _, pattern := range s.skip(driver) {
		skips = append(skips, regexp.MustCompile(pattern))
	}
	chosen := selection{without: make([]int, len(skips))}
next:
	for _, name := range names {
		if !focus.MatchString(name) {
			continue
		}
		for i, skip := range skips {
			if skip.MatchString(name) {
				chosen.without[i]++
				continue next
			}
		}
		if strings.Contains(name, serial) {
			chosen.serial++
		} else {
			chosen.parallel++
		}
	}
	return chosen
}
