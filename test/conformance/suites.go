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
	// without are the tests that do not apply to our clusters, in addition to those
	// that every suite leaves out.
	without []exclusion
	// needs describes what the nodes must have, and probe is a command that succeeds
	// on a node that has it. Both are empty if any node will do.
	needs string
	probe []string
	// workers is the number of workers that the suite needs, if more than usual.
	workers int
	// inside runs the test program in the nodes' network.
	inside bool
	// dual creates a cluster with both IP families.
	dual bool
}

// suites are the values of -suite.
var suites = []suite{
	{name: "node", focus: `\[NodeConformance\]`},
	{
		name: "networkpolicy", focus: `\[Feature:NetworkPolicy\]`, without: sctp,
		needs: "a kernel with nft_queue or xt_NFQUEUE: virtual machines have it, sandboxes have their host's",
		probe: []string{"sh", "-c", "! grep NetworkPolicies /run/skiff/alarms/nodeagent"},
	},
	// One of its tests needs three schedulable nodes.
	{name: "e2e", focus: `.`, without: presubmit, workers: 3},
	{name: "loadbalancer", focus: `\[Feature:LoadBalancer\]`, without: loadBalancers, inside: true},
	// The tests that upstream's jobs for dual-stack clusters of kind add to the others.
	{name: "dualstack", focus: `\[Feature:IPv6DualStack\]`, without: sctp, dual: true},
	{name: "apps", focus: `\[sig-apps\]`, without: applications},
	// The tests of our own storage class (volumes.yaml) have no SIG in their names.
	// Two of them spread volumes over three nodes.
	{name: "storage", focus: `\[sig-storage\]|External Storage \[Driver: skiff-local\]`, without: volumes, workers: 3},
}

func findSuite(name string) (suite, error) {
	for _, s := range suites {
		if s.name == name {
			return s, nil
		}
	}
	return suite{}, fmt.Errorf("unknown suite %q: use one of %s", name, strings.Join(suiteNames(), ", "))
}

func suiteNames() []string {
	var known []string
	for _, s := range suites {
		known = append(known, s.name)
	}
	return known
}

// exclusions returns everything that the suite leaves out on nodes of a driver.
func (s suite) exclusions(driver string) []exclusion {
	return slices.DeleteFunc(slices.Concat(everywhere, s.without), func(e exclusion) bool {
		return e.sandbox && (driver != sandbox || e.unless != nil && e.unless())
	})
}

// skip returns the expressions that ginkgo skips.
func (s suite) skip(driver string) []string {
	var patterns []string
	for _, e := range s.exclusions(driver) {
		patterns = append(patterns, e.pattern)
	}
	return patterns
}

// selection is the number of tests in a suite.
type selection struct {
	parallel, serial int
	// without counts the tests that each exclusion leaves out, in the order of the
	// suite's exclusions. A test counts for the first one that matches.
	without []int
}

// choose selects from the names of all upstream tests.
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
