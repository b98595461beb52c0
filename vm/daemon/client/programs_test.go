package client_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Settings with these feature gates are refused by a program's check, or make it crash.
const (
	gateRefused = "AllAlpha"
	gateCrash   = "AllBeta"
)

// programs are the programs of nodes that read settings of Kubernetes' components. They
// write the settings that they run with into files, so that these outlive the daemon.
type programs struct {
	dir string // of those files; programs only run if it is set
	// armed is a file. While it exists, point counts, and kills this process when it has
	// counted to killAt.
	armed  string
	killAt int
	broken atomic.Bool // no program can be ended

	mu      sync.Mutex // guards what follows
	counted int
	pids    map[string]int // by node and program, 0 while it crashes
	starts  map[string]int
}

// envPrograms makes a daemon of its own have programs: DIR:KILLAT. The file "armed" in the
// directory arms it.
const envPrograms = "SKIFF_TEST_PROGRAMS"

func newPrograms(config string) *programs {
	p := &programs{pids: map[string]int{}, starts: map[string]int{}}
	if config != "" {
		dir, at, _ := strings.Cut(config, ":")
		p.dir, p.armed = dir, filepath.Join(dir, "armed")
		p.killAt, _ = strconv.Atoi(at)
	}
	return p
}

// point is a moment at which the daemon may be killed.
func (p *programs) point() {
	if p.armed == "" {
		return
	}
	if _, err := os.Stat(p.armed); err != nil {
		return
	}
	p.mu.Lock()
	p.counted++
	last := p.counted == p.killAt
	p.mu.Unlock()
	if last {
		_ = os.Remove(p.armed)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
}

// start starts a node's program with the settings in its files.
func (p *programs) start(node nodeconfig.Node, program string) {
	if p.dir == "" {
		return
	}
	components, err := nodeconfig.ParseComponents(node.Files[nodeconfig.ComponentsFile])
	if err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := node.Name + " " + program
	p.starts[key]++
	p.pids[key] = 100 + p.starts[key]
	if components.FeatureGates[gateCrash] {
		p.pids[key], p.starts[key] = 0, p.starts[key]+10
	}
	if err := os.WriteFile(filepath.Join(p.dir, key), node.Files[nodeconfig.ComponentsFile], 0o600); err != nil {
		panic(err)
	}
}

// status returns the programs of a node as its node API does. A program that has crashed
// starts again.
func (p *programs) status(node nodeconfig.Node) []nodeapi.Program {
	var all []nodeapi.Program
	for _, name := range []string{"controlplane", "nodeagent"} {
		key := node.Name + " " + name
		if pid, _, exists := p.pid(key); exists && pid == 0 {
			p.start(node, name)
		}
		if pid, starts, exists := p.pid(key); exists {
			all = append(all, nodeapi.Program{Name: name, PID: pid, Restarts: starts})
		}
	}
	return all
}

func (p *programs) pid(key string) (pid, starts int, exists bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pid, exists = p.pids[key]
	return pid, p.starts[key], exists
}

// heartbeat returns when a node's kubelet last reported: once after each start.
func (p *programs) heartbeat(node string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Unix(int64(p.starts[node+" nodeagent"]), 0)
}

// run runs a command on a node as far as it concerns programs, and returns what it writes
// to standard error and its exit code.
func (p *programs) run(node nodeconfig.Node, args []string, stdin []byte) (stderr string, code byte, ours bool) {
	if p.dir == "" {
		return "", 0, false
	}
	if len(args) == 3 && args[1] == "-check" {
		p.point()
		defer p.point()
		components, err := nodeconfig.ParseComponents(stdin)
		if err != nil || components.FeatureGates[gateRefused] {
			return fmt.Sprintf("%s: the kubelet's maxPods: no\n", filepath.Base(args[0])), 1, true
		}
		return "", 0, true
	}
	pid, ok := strings.CutPrefix(strings.Join(args, " "), "sh -c kill -TERM ")
	if !ok {
		return "", 0, false
	}
	if p.broken.Load() {
		return "no such process\n", 1, true
	}
	p.point()
	defer p.point()
	for _, program := range p.status(node) {
		if strconv.Itoa(program.PID) == pid {
			p.start(node, program.Name)
		}
	}
	return "", 0, true
}

// settings returns what all programs run with, each once.
func (p *programs) settings() ([]nodeconfig.Components, error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, err
	}
	var all []nodeconfig.Components
	for _, entry := range entries {
		if !strings.Contains(entry.Name(), " ") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(p.dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		var components nodeconfig.Components
		if err := json.Unmarshal(content, &components); err != nil {
			return nil, err
		}
		all = append(all, components)
	}
	return all, nil
}
