// Package skiff starts Kubernetes clusters of several nodes from Go, for tests and tools. It
// runs the program skiff, which must be installed, and depends only on client-go.
//
// Unless Config.Keep is set, a cluster lives no longer than the process that created it,
// even if that is killed. The user's kubeconfig is never changed.
package skiff

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Config describes a cluster. The zero Config is a temporary cluster with the default
// settings.
type Config struct {
	// Name of the cluster: up to 40 lower-case letters, digits and hyphens. A random one is
	// chosen if it is empty.
	Name string
	// File is the path of a configuration file: skiff.yaml, or one of kind.
	File string
	// YAML is the content of such a file, in place of File. Relative paths in it belong to
	// the working directory.
	YAML string
	// From is a snapshot of another cluster, as CLUSTER/SNAPSHOT, whose nodes, disks and
	// objects the new cluster begins with. File and YAML must be empty then.
	From string
	// Driver runs the nodes: lima for virtual machines, sandbox for Linux namespaces. Empty
	// for that of the configuration.
	Driver string
	// Kubernetes is the minor version, such as 1.36. Empty for that of the configuration.
	Kubernetes string
	// Workers is the range within which workers are added for pods that do not fit, and removed
	// when they are not needed. The zero Range leaves workers to the configuration.
	Workers Range
	// Flags are further flags of `skiff up`, such as --workers=4.
	Flags []string
	// Wait is how long nodes and addons may take to become ready; 10 minutes if it is 0.
	Wait time.Duration
	// Keep lets the cluster outlive this process, and lets Up update a cluster that exists.
	// Without it, Up fails if the cluster exists.
	Keep bool
	// Progress gets the events of Up, one at a time. It may be nil.
	Progress func(Event)
	// Program is the path of skiff; if it is empty, skiff is looked up in PATH.
	Program string
	// Env is added to the environment of the program, as NAME=VALUE: SKIFF_HOME, for example.
	Env []string
}

// Range is a range of numbers of nodes, both ends included. Min may be 0.
type Range struct{ Min, Max int }

// String returns the range in the notation of `skiff up`, such as 1..5.
func (r Range) String() string { return fmt.Sprintf("%d..%d", r.Min, r.Max) }

func (r Range) validate() error {
	if r == (Range{}) || 0 <= r.Min && r.Min <= r.Max && r.Max > 0 {
		return nil
	}
	return fmt.Errorf("%w: Workers is %s: Min must not be negative or greater than Max", ErrInvalid, r)
}

// Event is a step of Up.
type Event struct {
	Time time.Time `json:"time"`
	// Node is empty for what concerns the whole cluster.
	Node string `json:"node"`
	// Phase is a part of the start, such as boot, join, ready or addons.
	Phase string `json:"phase"`
	// State is running, done or failed.
	State   string `json:"state"`
	Message string `json:"message"`
	// Seconds that the phase took, once it is done or has failed.
	Seconds float64 `json:"seconds"`
}

// Cluster is a cluster whose nodes are ready. Its methods may be called concurrently.
type Cluster struct {
	Name string
	// Kubeconfig has the credentials of an administrator, in YAML.
	Kubeconfig []byte
	// RESTConfig is the same for client-go. It must not be changed: rest.CopyConfig copies it.
	RESTConfig *rest.Config

	program program
}

// cleanUpLimit is how long Up takes at most to delete a cluster that failed to start.
const cleanUpLimit = 2 * time.Minute

// Up creates a cluster and waits until its nodes and addons are ready. If that fails or ctx
// ends before, the cluster is deleted, unless Keep is set. An error of the program is an
// *Error.
func Up(ctx context.Context, config Config) (*Cluster, error) {
	if config.File != "" && config.YAML != "" {
		return nil, errors.New("set either File or YAML, not both")
	}
	if err := config.Workers.validate(); err != nil {
		return nil, err
	}
	if config.Name == "" {
		config.Name = "go-" + strings.ToLower(rand.Text()[:8])
	}
	p := program{path: config.Program, env: config.Env}
	err := p.run(ctx, invocation{args: config.args(os.Getpid()), stdin: config.YAML, line: func(line []byte) {
		var e Event
		if config.Progress != nil && json.Unmarshal(line, &e) == nil && e.Phase != "" {
			config.Progress(e)
		}
	}})
	if err != nil {
		if config.Keep || errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotInstalled) {
			return nil, err // nothing was created, or it may stay
		}
		cleanUp, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpLimit)
		defer cancel()
		return nil, errors.Join(err, p.run(cleanUp, invocation{args: []string{"down", config.Name}}))
	}
	return open(ctx, p, config.Name)
}

// Open returns a cluster that is running. Of config it needs only Name, Program and Env.
func Open(ctx context.Context, config Config) (*Cluster, error) {
	if config.Name == "" {
		return nil, errors.New("set Name")
	}
	return open(ctx, program{path: config.Program, env: config.Env}, config.Name)
}

func open(ctx context.Context, p program, name string) (*Cluster, error) {
	kubeconfig, err := p.output(ctx, "kubeconfig", name)
	if err != nil {
		return nil, err
	}
	restConfig, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of %s: %w", name, err)
	}
	return &Cluster{Name: name, Kubeconfig: kubeconfig, RESTConfig: restConfig, program: p}, nil
}

// args returns the arguments of `skiff up`. owner is the process that a temporary cluster
// belongs to.
func (c Config) args(owner int) []string {
	args := []string{"up", c.Name, "--kubeconfig=none", "--output=json"}
	if !c.Keep {
		args = append(args, "--owner="+strconv.Itoa(owner))
	}
	if c.Wait > 0 {
		args = append(args, "--wait="+c.Wait.String())
	}
	file := c.File
	if c.YAML != "" {
		file = "-"
	}
	workers := ""
	if c.Workers != (Range{}) {
		workers = c.Workers.String()
	}
	for _, flag := range []struct{ name, value string }{{"file", file}, {"from", c.From}, {"driver", c.Driver}, {"kubernetes", c.Kubernetes}, {"workers", workers}} {
		if flag.value != "" {
			args = append(args, "--"+flag.name+"="+flag.value)
		}
	}
	return append(args, c.Flags...)
}

// Down deletes the cluster and everything that belongs to it. It succeeds if the cluster
// does not exist any more.
func (c *Cluster) Down(ctx context.Context) error {
	return c.program.run(ctx, invocation{args: []string{"down", c.Name}})
}

// LoadImage loads images onto all nodes: archives, or names in a container engine on this
// host.
func (c *Cluster) LoadImage(ctx context.Context, images ...string) error {
	return c.program.run(ctx, invocation{args: append([]string{"image", "load", "--cluster=" + c.Name, "--"}, images...)})
}

// ExportLogs writes the logs of all nodes and programs, and the objects of the cluster, to a
// directory.
func (c *Cluster) ExportLogs(ctx context.Context, dir string) error {
	return c.program.run(ctx, invocation{args: []string{"logs", "export", dir, "--cluster=" + c.Name}})
}

// Pause lets all nodes stand still, without using the CPU, until Resume.
func (c *Cluster) Pause(ctx context.Context) error {
	return c.program.run(ctx, invocation{args: []string{"pause", c.Name}})
}

// Resume lets a paused cluster continue, and waits until its nodes are ready.
func (c *Cluster) Resume(ctx context.Context) error {
	return c.program.run(ctx, invocation{args: []string{"resume", c.Name}})
}

// Run runs another command of skiff for this cluster and returns its standard output. The
// arguments must not name the cluster.
func (c *Cluster) Run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	p := c.program
	p.env = append(append([]string{}, p.env...), "SKIFF_CLUSTER="+c.Name)
	var input string
	if stdin != nil {
		content, err := io.ReadAll(stdin)
		if err != nil {
			return nil, err
		}
		input = string(content)
	}
	return p.outputOf(ctx, input, args...)
}
