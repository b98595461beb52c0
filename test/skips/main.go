// Command skips counts the tests that were skipped and fails if one of them is
// not listed with a reason: a test that nobody runs proves nothing.
//
//	skips LIST EVENTS...
//
// LIST has a line for each test that may be skipped: PACKAGE TEST REASON, where
// PACKAGE is relative to the module and TEST is a path.Match pattern. EVENTS are
// files of go test's JSON events (go doc test2json).
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

const module = "github.com/skiff-dev/skiff"

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: skips LIST EVENTS...")
		os.Exit(2)
	}
	if err := run(os.Stdout, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "skips:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, list string, events []string) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	may, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	var skipped []test
	for _, name := range events {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		found, err := read(file)
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		skipped = append(skipped, found...)
	}
	unlisted := slices.DeleteFunc(slices.Clone(skipped), func(t test) bool {
		return slices.ContainsFunc(may, func(p permission) bool { return p.covers(t) })
	})
	fmt.Fprintf(out, "skipped tests: %d, of which %d are not listed in %s\n", len(skipped), len(unlisted), list)
	if len(unlisted) == 0 {
		return nil
	}
	return fmt.Errorf("make these tests run, or list them with a reason in %s:\n  %s", list, join(unlisted))
}

// test is one test or subtest.
type test struct{ pkg, name string }

// permission is a line of the list.
type permission struct{ pkg, pattern string }

// covers reports whether a test, or the test that it is a part of, may be skipped.
func (p permission) covers(t test) bool {
	if t.pkg != p.pkg {
		return false
	}
	for name := t.name; name != "."; name = path.Dir(name) {
		if ok, _ := path.Match(p.pattern, name); ok {
			return true
		}
	}
	return false
}

func parse(list string) ([]permission, error) {
	var all []permission
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
			continue
		case len(fields) < 3:
			return nil, fmt.Errorf("%q has no reason: want PACKAGE TEST REASON", strings.TrimSpace(line))
		}
		if _, err := path.Match(fields[1], ""); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", fields[1], err)
		}
		all = append(all, permission{fields[0], fields[1]})
	}
	return all, nil
}

// read returns the skipped tests of a stream of events. A package without tests
// has no test's name and is not one.
func read(r io.Reader) ([]test, error) {
	var skipped []test
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct{ Action, Package, Test string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, err
		}
		if event.Action == "skip" && event.Test != "" {
			pkg := strings.TrimPrefix(strings.TrimPrefix(event.Package, module), "/")
			skipped = append(skipped, test{pkg: pkg, name: event.Test})
		}
	}
	return skipped, lines.Err()
}

func join(tests []test) string {
	var lines []string
	for _, t := range tests {
		lines = append(lines, t.pkg+" "+t.name)
	}
	return strings.Join(lines, "\n  ")
}
