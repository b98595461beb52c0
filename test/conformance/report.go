package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// summary is the content of summary.json, or of SUITE.json.
type summary struct {
	Passed   int      `json:"passed"`
	Failed   int      `json:"failed"`
	Skipped  int      `json:"skipped"`
	Failures []string `json:"failures"`
	// Skips and Seconds map names of tests to why they were skipped and how long
	// they took.
	Skips   map[string]string  `json:"skips,omitempty"`
	Seconds map[string]float64 `json:"seconds"`
}

// testCase is a test case of a JUnit file.
type testCase struct {
	Name    string  `xml:"name,attr"`
	Status  string  `xml:"status,attr"`
	Seconds float64 `xml:"time,attr"`
	Skipped struct {
		Message string `xml:"message,attr"`
	} `xml:"skipped"`
}

// read collects all JUnit files below dir.
func read(dir string) (cases []testCase, err error) {
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if match, _ := filepath.Match("junit*.xml", filepath.Base(path)); err != nil || !match {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		some, err := parse(content)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		cases = append(cases, some...)
		return nil
	})
	if err == nil && len(cases) == 0 {
		err = fmt.Errorf("no test results below %s: see e2e.log there", dir)
	}
	return cases, err
}

func parse(content []byte) ([]testCase, error) {
	var document struct {
		Suites []struct {
			Cases []testCase `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(content, &document); err != nil {
		return nil, err
	}
	var all []testCase
	for _, suite := range document.Suites {
		all = append(all, suite.Cases...)
	}
	return all, nil
}

// sum counts tests by result. Tests that were not selected are left out; a failure
// outside of a test (a node of the suite) counts as a failed test.
func sum(cases []testCase) summary {
	s := summary{Failures: []string{}, Skips: map[string]string{}, Seconds: map[string]float64{}}
	for _, c := range cases {
		name, test := strings.CutPrefix(c.Name, "[It] ")
		switch {
		case c.Status == "passed" && test:
			s.Passed++
		case c.Status == "passed":
			continue
		case c.Status == "skipped" && test && c.Seconds > 0:
			// A test that started and found that it cannot run here.
			s.Skipped++
			s.Skips[name] = strings.TrimPrefix(c.Skipped.Message, "skipped - ")
		case c.Status == "skipped" || c.Status == "pending":
			continue
		default:
			s.Failed++
			s.Failures = append(s.Failures, name)
		}
		if test {
			s.Seconds[name] = c.Seconds
		}
	}
	slices.Sort(s.Failures)
	return s
}

// passed returns the tests that passed or, in a dry run, that would run.
func passed(cases []testCase) []string {
	var names []string
	for _, c := range cases {
		if name, test := strings.CutPrefix(c.Name, "[It] "); test && c.Status == "passed" {
			names = append(names, name)
		}
	}
	return names
}

// expect counts tests that did not run as skipped.
func (s *summary) expect(names []string) {
	for _, name := range names {
		if _, ran := s.Seconds[name]; !ran {
			s.Skipped++
			s.Skips[name] = "did not run"
		}
	}
}

// print prints which tests failed, why tests were skipped, and the totals.
func (s *summary) print(out io.Writer) {
	for _, name := range s.Failures {
		fmt.Fprintln(out, "failed:", name)
	}
	times := map[string]int{}
	for _, reason := range s.Skips {
		times[reason]++
	}
	for _, reason := range slices.Sorted(maps.Keys(times)) {
		fmt.Fprintf(out, "skipped: %d: %s\n", times[reason], reason)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", s.Passed, s.Failed, s.Skipped)
}
