// Command conformance runs upstream's end-to-end tests of the Kubernetes version
// that Skiff links against a cluster on the sandbox driver. The cluster has one
// control plane and two workers (three if a suite needs them) and exists only for
// the run. build.sh and images.sh make the test program and the images; no
// registry is needed.
package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/kubenames"
)

// lists has a file for each version of Kubernetes with the names of its conformance
// tests, one per line, each with its SIG first.
//
//go:embed testdata/tests-1.*.txt
var lists embed.FS

// conformanceTests returns the names of the conformance tests of a minor version.
func conformanceTests(version string) ([]string, error) {
	content, err := lists.ReadFile("testdata/tests-" + version + ".txt")
	if err != nil {
		return nil, fmt.Errorf("the conformance tests of Kubernetes %q are not known", version)
	}
	return strings.Split(strings.TrimSpace(string(content)), "\n"), nil
}

// ourVolumes describes our default storage class to upstream's storage tests.
//
//go:embed testdata/volumes.yaml
var ourVolumes []byte

// options of a run.
type options struct {
	out, skiff, memory, kubeconfig string
	kubernetes                     string
	focus, skip, suite, driver     string
	procs, nodes                   int
	core, keep, list, gateway      bool
	timeout                        time.Duration
	inside                         inside
}

func main() {
	var o options
	flag.StringVar(&o.out, "out", "build/conformance", "directory that has bin and images and receives the results")
	flag.StringVar(&o.skiff, "skiff", "bin/skiff", "path of the skiff program")
	flag.StringVar(&o.kubernetes, "kubernetes", kubenames.Default, "minor version of Kubernetes")
	flag.StringVar(&o.memory, "memory", "5Gi", "memory of each node")
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "use this cluster, which must have the images, instead of creating one")
	flag.StringVar(&o.driver, "driver", sandbox, "driver of the nodes; some tests run only on VMs")
	flag.StringVar(&o.focus, "focus", "", "run only tests whose name matches (default all tests of the suite)")
	flag.StringVar(&o.skip, "skip", "", "skip tests whose name matches")
	flag.StringVar(&o.suite, "suite", "", "suite to run instead of conformance: "+strings.Join(suiteNames(), ", "))
	flag.BoolVar(&o.list, "list", false, "print how many tests each suite has, and run none")
	flag.IntVar(&o.procs, "procs", 8, "number of tests to run at once, except serial ones")
	flag.BoolVar(&o.core, "core", false, "run a part of the conformance tests that covers every SIG")
	flag.BoolVar(&o.gateway, "gateway", false, "run the tests of the Gateway API; -focus is then the name of one test, and -skip of several")
	flag.BoolVar(&o.keep, "keep", false, "keep the cluster after the run")
	flag.DurationVar(&o.timeout, "timeout", 3*time.Hour, "time limit for all tests together")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (failed bool, err error) {
	if o.out, err = filepath.Abs(o.out); err != nil {
		return false, err
	}
	if o.gateway {
		return runGateway(ctx, o)
	}
	if o.list {
		return false, list(ctx, o, os.Stdout)
	}
	all, err := conformanceTests(o.kubernetes)
	if err != nil {
		return false, err
	}
	known := all
	if o.suite != "" && o.focus != "" {
		if known, err = allNames(ctx, o); err != nil {
			return false, fmt.Errorf("list the tests: %w", err)
		}
	}
	runs, err := parts(o, known)
	if err != nil {
		return false, err
	}
	if o.kubeconfig == "" {
		c := newCluster(o)
		defer func() {
			if o.keep {
				fmt.Printf("the cluster is still running: SKIFF_HOME=%s KUBECONFIG=%s\n", c.home, c.kubeconfig)
				return
			}
			err = errors.Join(err, c.down())
		}()
		if err := c.up(ctx, o); err != nil {
			return false, err
		}
		o.kubeconfig = c.kubeconfig
		if c.suite.inside {
			if o.inside, err = c.enter(ctx); err != nil {
				return false, err
			}
		}
	}
	if o.nodes, err = schedulable(ctx, o); err != nil {
		return false, err
	}
	results, report := filepath.Join(o.out, "results"), "summary.json"
	if o.suite != "" {
		results, report = results+"-"+o.suite, o.suite+".json"
	}
	if err := os.RemoveAll(results); err != nil {
		return false, err
	}
	for _, part := range runs {
		if err := part.run(ctx, o, filepath.Join(results, part.name)); err != nil {
			return false, err
		}
	}
	return conclude(o, all, results, report)
}

// conclude counts the results of a run, writes them to the report, and prints them.
func conclude(o options, all []string, results, report string) (failed bool, err error) {
	cases, err := read(results)
	if err != nil {
		return false, err
	}
	summary := sum(cases)
	if o.focus == "" && o.suite == "" && !o.core && o.skip == "" {
		summary.expect(all)
	}
	text, err := json.MarshalIndent(summary, "", "  ")
	if err != nil {
		return false, err
	}
	if err := os.WriteFile(filepath.Join(o.out, report), append(text, '\n'), 0o644); err != nil {
		return false, err
	}
	summary.print(os.Stdout)
	return summary.Failed > 0 || summary.Passed == 0, nil
}

// run runs one part and writes its log and JUnit file to dir. Failed tests are not
// an error: the JUnit file lists them.
func (p part) run(ctx context.Context, o options, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "e2e.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	driver, err := storageDriver(dir)
	if err != nil {
		return err
	}
	if o.inside.kubeconfig != "" {
		o.kubeconfig = o.inside.kubeconfig
	}
	args := append(o.inside.prefix(), p.arguments(o, dir, driver)...)
	fmt.Printf("%s tests, %d at once; log %s\n", p.name, p.procs, log.Name())
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGINT) }
	command.WaitDelay = 30 * time.Second
	command.Env = append(os.Environ(), "KUBECONFIG="+o.kubeconfig, "PATH="+filepath.Join(o.out, "bin")+":"+os.Getenv("PATH"))
	command.Stdout, command.Stderr = log, log
	start := time.Now()
	err = command.Run()
	fmt.Printf("%s tests took %s\n", p.name, time.Since(start).Round(time.Second))
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("run the %s tests: %w", p.name, errors.Join(err, ctx.Err()))
	}
	return nil
}

// arguments returns the command that runs the part.
func (p part) arguments(o options, dir, driver string) []string {
	bin := filepath.Join(o.out, "bin")
	args := []string{
		filepath.Join(bin, "ginkgo"), fmt.Sprintf("--procs=%d", p.procs), "--timeout=" + o.timeout.String(), "--no-color", "--silence-skips",
	}
	for _, focus := range p.focus {
		args = append(args, "--focus="+focus)
	}
	if p.labels != "" {
		args = append(args, "--label-filter="+p.labels)
	}
	for _, skip := range p.skip {
		args = append(args, "--skip="+skip)
	}
	return append(args, filepath.Join(bin, "e2e.test"), "--",
		"--provider=skeleton", fmt.Sprintf("--num-nodes=%d", o.nodes), "--kubeconfig="+o.kubeconfig,
		"--kubectl-path="+filepath.Join(bin, "kubectl"), "--report-dir="+dir, "--report-complete-junit", "--disable-log-dump",
		"--system-pods-startup-timeout=1m", "--allowed-not-ready-nodes=0", driver)
}

// storageDriver returns the flag that adds the storage tests of our own volumes. It
// writes the file that describes them to dir.
func storageDriver(dir string) (string, error) {
	path := filepath.Join(dir, "volumes.yaml")
	return "--storage.testdriver=" + path, os.WriteFile(path, ourVolumes, 0o644)
}
