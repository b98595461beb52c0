package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
)

// list prints how many tests each suite has, what its nodes need, and how many
// tests it leaves out for each reason. It needs the test program but no cluster.
func list(ctx context.Context, o options, out io.Writer) error {
	names, err := allNames(ctx, o)
	if err != nil {
		return fmt.Errorf("list the tests: %w", err)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SUITE\tTESTS\tPARALLEL\tSERIAL\tLEFT OUT")
	for _, s := range suites {
		chosen := s.choose(names, o.driver)
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t\n", s.name, chosen.parallel+chosen.serial, chosen.parallel, chosen.serial)
		if s.needs != "" {
			fmt.Fprintf(w, "\t\t\t\tneeds %s\n", s.needs)
		}
		for i, e := range s.exclusions(o.driver) {
			if chosen.without[i] > 0 {
				fmt.Fprintf(w, "\t\t\t\t%d: %s\n", chosen.without[i], e.reason)
			}
		}
	}
	return w.Flush()
}

// allNames returns the names of the tests that the test program would run.
func allNames(ctx context.Context, o options) (names []string, err error) {
	dir, err := os.MkdirTemp("", "skiff-conformance-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	driver, err := storageDriver(dir)
	if err != nil {
		return nil, err
	}
	// Without a focus, the program leaves out all feature tests.
	command := exec.CommandContext(ctx, filepath.Join(o.out, "bin", "e2e.test"),
		"--ginkgo.dry-run", "--ginkgo.focus=.", "--ginkgo.silence-skips", "--ginkgo.succinct", "--report-dir="+dir,
		"--report-complete-junit", "--provider=skeleton", driver)
	command.Dir = dir
	if output, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, output[max(0, len(output)-2000):])
	}
	cases, err := read(dir)
	if err != nil {
		return nil, err
	}
	return passed(cases), nil
}
