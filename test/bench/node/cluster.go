package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/vm/home"
)

const clusterName = "bench-node"

// cluster has both workers and a home directory of its own.
type cluster struct {
	program, dir string
}

func newCluster(program string) (*cluster, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	// A short path, because sockets are below it.
	dir, err := os.MkdirTemp("", "skiff-bench-")
	return &cluster{program: program, dir: dir}, err
}

func (c *cluster) home() home.Home    { return home.Home(filepath.Join(c.dir, "h")) }
func (c *cluster) kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

func (c *cluster) up(ctx context.Context) error {
	return c.skiff(ctx, nil, "up", clusterName, "--driver", "sandbox", "--control-planes", "1", "--workers", "2",
		"--memory", "2Gi", "--kubeconfig", c.kubeconfig())
}

func (c *cluster) down() error {
	ctx := context.Background()
	// The registry would use the directory a little longer.
	return errors.Join(c.skiff(ctx, nil, "down", clusterName), c.skiff(ctx, nil, "registry", "stop"), os.RemoveAll(c.dir))
}

// client returns a client without a rate limit.
func (c *cluster) client() (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.ContentType = "application/vnd.kubernetes.protobuf"
	return kubernetes.NewForConfig(config)
}

// skiff runs the skiff program.
func (c *cluster) skiff(ctx context.Context, stdin io.Reader, args ...string) error {
	_, err := c.output(ctx, stdin, args...)
	return err
}

// output runs the skiff program and returns its standard output.
func (c *cluster) output(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	command := exec.CommandContext(ctx, c.program, args...)
	command.Env = append(os.Environ(), "SKIFF_HOME="+string(c.home()), "KUBECONFIG="+c.kubeconfig())
	var messages strings.Builder
	command.Stdin, command.Stderr = stdin, &messages
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("skiff %s: %w\n%s", strings.Join(args, " "), err, messages.String())
	}
	return string(out), nil
}

// shell runs a script on a node.
func (c *cluster) shell(ctx context.Context, node, script string) (string, error) {
	return c.output(ctx, strings.NewReader(""), "shell", node, "--cluster", clusterName, "--", "sh", "-ec", script)
}

// send writes a file on a node.
func (c *cluster) send(ctx context.Context, node, path string, content io.Reader) error {
	script := fmt.Sprintf("cat >%[1]s.new && chmod 755 %[1]s.new && mv %[1]s.new %[1]s", path)
	return c.skiff(ctx, content, "shell", node, "--cluster", clusterName, "--", "sh", "-ec", script)
}

// first returns the process on the host that is a node's PID 1.
func (c *cluster) first(node string) (int, error) {
	content, err := os.ReadFile(filepath.Join(c.home().Cluster(clusterName).Machines(), node, "pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(content)))
}

// inPod returns the process on the host of a program in one of a node's containers. It
// is a descendant of the node's PID 1.
func (c *cluster) inPod(node, program string) (int, error) {
	first, err := c.first(node)
	if err != nil {
		return 0, err
	}
	pids, err := processes()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		if link, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); filepath.Base(link) != program {
			continue
		}
		for ancestor := pid; ancestor > 1; ancestor = parent(ancestor) {
			if ancestor == first {
				return pid, nil
			}
		}
	}
	return 0, fmt.Errorf("%s is not running on %s", program, node)
}

// parent returns the parent of a process, 0 if the process is gone.
func parent(pid int) int {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if text, ok := strings.CutPrefix(line, "PPid:"); ok {
			number, _ := strconv.Atoi(strings.TrimSpace(text))
			return number
		}
	}
	return 0
}

func processes() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// programs returns the processes on the host that are in a node's own PID namespace,
// by the program's name. Containers have other namespaces.
func (c *cluster) programs(node string) (map[string][]int, error) {
	first, err := c.first(node)
	if err != nil {
		return nil, err
	}
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", first))
	if err != nil {
		return nil, err
	}
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	found := map[string][]int{}
	for _, pid := range pids {
		// A process that has exited is not counted.
		namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if err != nil || namespace != own {
			continue
		}
		if program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
			name := filepath.Base(program)
			found[name] = append(found[name], pid)
		}
	}
	return found, nil
}
