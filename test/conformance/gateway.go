package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	subnets "github.com/skiff-dev/skiff/vm/cluster"
)

// onNode is where nodes have the output directory.
const onNode = "/conformance"

// runGateway runs the conformance tests of the Gateway API on a node, which reaches Gateways
// as pods do.
func runGateway(ctx context.Context, o options) (failed bool, err error) {
	c := newCluster(o)
	c.images = filepath.Join(o.out, "gateway-images.tar")
	c.mount = o.out + ":" + onNode
	if o.kubeconfig != "" {
		return false, errors.New("the tests of the Gateway API need a cluster of their own")
	}
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
	kubeconfig := filepath.Join(o.out, gatewayKubeconfig)
	if err := c.writeInside(ctx, kubeconfig); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(kubeconfig)) }()
	log, err := os.Create(filepath.Join(o.out, "gateway.log"))
	if err != nil {
		return false, err
	}
	defer func() { _ = log.Close() }()
	start := time.Now()
	fmt.Printf("tests of the Gateway API; log %s\n", log.Name())
	if err := c.testGateways(ctx, o, log); err != nil {
		return false, err
	}
	if _, err := log.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	r := countResults(log)
	fmt.Printf("%d passed, %d failed, %d skipped in %s; report %s\n", r.passed, len(r.failed), r.skipped, time.Since(start).Round(time.Second), filepath.Join(o.out, gatewayReport))
	for _, name := range r.failed {
		fmt.Println("failed:", name)
	}
	return len(r.failed) > 0 || r.passed == 0, nil
}

// Files in the output directory.
const (
	gatewayReport     = "gateway-report.yaml"
	gatewayKubeconfig = "gateway-kubeconfig"
)

// testGateways runs the test program. Failed tests are no error: the log lists them.
func (c *cluster) testGateways(ctx context.Context, o options, log io.Writer) error {
	spare, err := c.spareAddresses(ctx)
	if err != nil {
		return err
	}
	args := []string{
		"shell", "worker-1", "--cluster", clusterName, "--", "env", "KUBECONFIG=" + path.Join(onNode, gatewayKubeconfig),
		path.Join(onNode, "bin/gateway.test"), "-test.v", "-test.timeout=" + o.timeout.String(),
		"-report-output=" + path.Join(onNode, gatewayReport),
		"-usable-address=" + spare[0].String(), "-unusable-address=" + spare[1].String(),
	}
	if o.focus != "" {
		args = append(args, "-run-test="+o.focus)
	}
	if o.skip != "" {
		args = append(args, "-skip-tests="+o.skip)
	}
	command := exec.CommandContext(ctx, c.skiff, args...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGINT) }
	command.WaitDelay = 30 * time.Second
	command.Env = append(os.Environ(), "SKIFF_HOME="+c.home)
	command.Stdout, command.Stderr = log, log
	err = command.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("run the tests: %w", errors.Join(err, ctx.Err()))
	}
	return nil
}

// spareAddresses returns an address that a Gateway can request, and one that it cannot.
func (c *cluster) spareAddresses(ctx context.Context) ([2]netip.Addr, error) {
	output, err := exec.CommandContext(ctx, c.kubectl, "--kubeconfig", c.kubeconfig, "get", "node", "control-plane-1",
		"--output", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`).Output()
	if err != nil {
		return [2]netip.Addr{}, fmt.Errorf("find the address of a node: %w", err)
	}
	node, err := netip.ParseAddr(string(output))
	if err != nil {
		return [2]netip.Addr{}, fmt.Errorf("find the address of a node: %w", err)
	}
	pool := subnets.BalancerAddresses(netip.PrefixFrom(node, 24))
	last := pool.Addr()
	for range 100 {
		last = last.Next()
	}
	return [2]netip.Addr{last, node}, nil
}

// results are the results of a Go test with one level of subtests that counts.
type results struct {
	passed, skipped int
	failed          []string
}

var resultLine = regexp.MustCompile(`^    --- (PASS|FAIL|SKIP): TestConformance/([^/ ]+) `)

// countResults counts the results in the output of a test program.
func countResults(output io.Reader) results {
	var r results
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		match := resultLine.FindStringSubmatch(strings.TrimRight(lines.Text(), "\r"))
		switch {
		case match == nil:
		case match[1] == "PASS":
			r.passed++
		case match[1] == "SKIP":
			r.skipped++
		case !slices.Contains(r.failed, match[2]):
			r.failed = append(r.failed, match[2])
		}
	}
	return r
}
