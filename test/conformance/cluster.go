package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// clusterName is the name of the cluster under test.
const clusterName = "conformance"

// cluster is the cluster under test. It has its own SKIFF_HOME.
type cluster struct {
	skiff, driver, memory, images string
	kubectl                       string
	home, kubeconfig              string
	suite                         suite  // the zero value without -suite
	mount                         string // a folder for every node, as skiff's --mount has it
	registry                      *registry
}

// usualWorkers is the number of workers unless a suite needs more.
const usualWorkers = 2

func newCluster(o options) *cluster {
	s, _ := findSuite(o.suite) // the name was checked when the tests were selected
	// The path must be short: sockets are below it.
	home := filepath.Join(os.TempDir(), fmt.Sprintf("skiff-conformance-%d", os.Getpid()))
	return &cluster{
		skiff: o.skiff, driver: o.driver, memory: o.memory, images: filepath.Join(o.out, "images.tar"),
		kubectl: filepath.Join(o.out, "bin", "kubectl"),
		home:    home, kubeconfig: filepath.Join(home, "kubeconfig"), suite: s,
	}
}

// up creates the cluster with every image on every node. It fails if the nodes
// cannot run the suite.
func (c *cluster) up(ctx context.Context, o options) error {
	if _, err := os.Stat(c.images); err != nil {
		return fmt.Errorf("%w: run test/conformance/images.sh", err)
	}
	if c.suite.inside && c.driver != sandbox {
		return fmt.Errorf("suite %s connects to addresses of the nodes' network, which this program can enter only with -driver %s", c.suite.name, sandbox)
	}
	start := time.Now()
	args := []string{
		"up", clusterName, "--driver", c.driver, "--control-planes", "1", "--workers", strconv.Itoa(c.workers()),
		"--memory", c.memory, "--kubeconfig", c.kubeconfig, "--kubernetes", o.kubernetes,
	}
	if c.suite.dual {
		args = append(args, "--ip-family", "dual")
	}
	if o.gateway {
		args = append(args, "--gateway-api")
	}
	if c.mount != "" {
		args = append(args, "--mount", c.mount)
	}
	err := c.run(ctx, args...)
	if err != nil {
		return err
	}
	fmt.Printf("%d nodes Ready in %.1f s\n", 1+c.workers(), time.Since(start).Seconds())
	if err := c.can(ctx); err != nil {
		return err
	}
	start = time.Now()
	if err := c.run(ctx, "image", "load", "--cluster", clusterName, c.images); err != nil {
		return err
	}
	fmt.Printf("images loaded in %.1f s\n", time.Since(start).Seconds())
	if err := c.offerPulls(ctx); err != nil {
		return err
	}
	return c.onNodes(ctx, addHandler)
}

func (c *cluster) workers() int { return max(usualWorkers, c.suite.workers) }

// can returns an error if the nodes cannot run the suite.
func (c *cluster) can(ctx context.Context) error {
	s := c.suite
	if len(s.probe) == 0 {
		return nil
	}
	output, err := c.output(ctx, append([]string{"shell", "worker-1", "--cluster", clusterName, "--"}, s.probe...)...)
	if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
		return fmt.Errorf("suite %s needs %s; worker-1 reports: %s", s.name, s.needs, first)
	}
	return nil
}

// offerPulls lets nodes pull the images too, which one test requires.
func (c *cluster) offerPulls(ctx context.Context) (err error) {
	if c.registry, err = serve(c.images); err != nil {
		return err
	}
	config := fmt.Sprintf("server = \"http://%s\"\n", c.registry.address)
	const dir = "/etc/containerd/certs.d/registry.k8s.io"
	return c.onNodes(ctx, "mkdir -p "+dir+" && printf '%s' '"+config+"' > "+dir+"/hosts.toml")
}

// addHandler gives containerd the runtime handler that the tests of runtime classes
// look for in its configuration, restarts it, and waits until it answers.
const addHandler = `set -e
cat >> /etc/containerd/config.toml <<'E'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.test-handler]
  runtime_type = 'io.containerd.runc.v2'
E
old=$(pidof containerd)
kill "$old"
for i in $(seq 150); do
  sleep 0.2
  now=$(pidof containerd) || continue
  [ "$now" = "$old" ] || ! ctr version > /dev/null 2>&1 || exit 0
done
echo containerd does not answer after its restart
exit 1
`

// onNodes runs a shell script on every node.
func (c *cluster) onNodes(ctx context.Context, script string) error {
	nodes := []string{"control-plane-1"}
	for i := range c.workers() {
		nodes = append(nodes, fmt.Sprintf("worker-%d", i+1))
	}
	for _, node := range nodes {
		if err := c.run(ctx, "shell", node, "--cluster", clusterName, "--", "sh", "-c", script); err != nil {
			return err
		}
	}
	return nil
}

// schedulable returns the number of nodes for ordinary pods. The test program counts
// them too, but only in the first of its processes.
func schedulable(ctx context.Context, o options) (int, error) {
	command := exec.CommandContext(ctx, filepath.Join(o.out, "bin", "kubectl"), "--kubeconfig", o.kubeconfig, "get", "nodes", "--output", "json")
	list, err := command.Output()
	if err != nil {
		return 0, fmt.Errorf("list the nodes: %w", err)
	}
	return countSchedulable(list)
}

// countSchedulable counts the nodes without taints in a list of nodes.
func countSchedulable(list []byte) (int, error) {
	var nodes struct {
		Items []struct {
			Spec struct {
				Unschedulable bool
				Taints        []struct{}
			}
		}
	}
	if err := json.Unmarshal(list, &nodes); err != nil {
		return 0, fmt.Errorf("list the nodes: %w", err)
	}
	n := 0
	for _, node := range nodes.Items {
		if !node.Spec.Unschedulable && len(node.Spec.Taints) == 0 {
			n++
		}
	}
	return n, nil
}

func (c *cluster) down() error {
	var closed error
	if c.registry != nil {
		closed = c.registry.close()
	}
	if err := c.run(context.Background(), "down", clusterName); err != nil {
		return errors.Join(err, closed) // keep the directory for another try
	}
	// Otherwise the registry would use the directory for a little longer.
	return errors.Join(c.run(context.Background(), "registry", "stop"), closed, os.RemoveAll(c.home))
}

// run runs skiff and shows its output only if it fails.
func (c *cluster) run(ctx context.Context, args ...string) error {
	output, err := c.output(ctx, args...)
	if err != nil {
		return fmt.Errorf("skiff %s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return nil
}

// output runs skiff and returns its output, including errors.
func (c *cluster) output(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, c.skiff, args...)
	// An interrupt from the terminal must reach only this program, which then takes
	// the cluster down. skiff would stop halfway.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Env = append(os.Environ(), "SKIFF_HOME="+c.home, "KUBECONFIG="+c.kubeconfig)
	var output lockedBuffer
	command.Stdout, command.Stderr = &output, &output
	err := command.Run()
	return output.String(), err
}

// lockedBuffer collects a command's output and errors.
type lockedBuffer struct {
	mu sync.Mutex // guards the buffer
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}
