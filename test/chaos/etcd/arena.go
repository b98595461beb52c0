package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/controlplane/server"
	"github.com/skiff-dev/skiff/controlplane/server/servertest"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

const (
	members = 3
	apiPort = 6443
	// diskMiB is the size of each member's disk; etcd allocates its log in files of 64
	// MiB, and a restore needs the data twice.
	diskMiB = 400
)

// hub is the clients' namespace, which has the bridge of the members' links.
const hub = "skiff-chaos"

func namespace(i int) string { return fmt.Sprintf("%s-%d", hub, i+1) }
func link(i int) string      { return fmt.Sprintf("skc%d", i+1) }

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 77, byte(11 + i)}) }

// enter creates the namespaces and runs this program again inside them.
func enter(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, removeNetwork()) }()
	if err := makeNetwork(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// ip also creates a mount namespace, with which the members' disks disappear.
	inside := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", hub, self, "-inside"}, os.Args[1:]...)...)
	inside.Stdout, inside.Stderr = os.Stdout, os.Stderr
	inside.Cancel = func() error { return inside.Process.Signal(syscall.SIGTERM) }
	inside.WaitDelay = time.Minute
	return inside.Run()
}

func makeNetwork() error {
	if err := removeNetwork(); err != nil {
		return err
	}
	commands := []string{
		"netns add " + hub,
		"-n " + hub + " link set lo up",
		"-n " + hub + " link add br0 type bridge",
		"-n " + hub + " address add 10.99.77.1/24 dev br0",
		"-n " + hub + " link set br0 up",
	}
	for i := range members {
		commands = append(commands,
			"netns add "+namespace(i),
			"-n "+namespace(i)+" link set lo up",
			fmt.Sprintf("-n %s link add %s type veth peer name eth0 netns %s", hub, link(i), namespace(i)),
			fmt.Sprintf("-n %s link set %s master br0 up", hub, link(i)),
			fmt.Sprintf("-n %s address add %s/24 dev eth0", namespace(i), address(i)),
			fmt.Sprintf("-n %s link set eth0 up", namespace(i)),
			// A control plane advertises its address only if it has a default route.
			fmt.Sprintf("-n %s route add default via 10.99.77.1", namespace(i)),
		)
	}
	for _, c := range commands {
		if err := ip(c); err != nil {
			return err
		}
	}
	return nil
}

func removeNetwork() error {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return fmt.Errorf("list network namespaces: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == hub || slices.ContainsFunc([]int{0, 1, 2}, func(i int) bool { return name == namespace(i) }) {
			if err := ip("netns delete " + name); err != nil {
				return err
			}
		}
	}
	return nil
}

func ip(arguments string) error {
	if out, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", arguments, err, out)
	}
	return nil
}

// arena is the three members and their networks and disks.
type arena struct {
	options options
	dir     string
	nodes   []nodeconfig.Node
	all     [members]*member
}

// member is one control plane's process.
type member struct {
	dir    string
	number int

	mu      sync.Mutex // guards the fields below
	process *exec.Cmd
	ended   chan struct{}
}

func newArena(o options) (*arena, error) {
	a := &arena{options: o, dir: o.keep}
	var err error
	if a.dir == "" {
		if a.dir, err = os.MkdirTemp("", "skiff-chaos-"); err != nil {
			return nil, err
		}
	}
	if a.nodes, err = servertest.WriteCluster(a.dir, address(0), address(1), address(2)); err != nil {
		return nil, err
	}
	for i := range a.all {
		m := &member{dir: filepath.Join(a.dir, a.nodes[i].Name), number: i}
		for _, d := range []string{"state", "log"} {
			if err := os.MkdirAll(filepath.Join(m.dir, d), 0o700); err != nil {
				return nil, err
			}
		}
		if err := syscall.Mount("tmpfs", filepath.Join(m.dir, "state"), "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", diskMiB)); err != nil {
			return nil, fmt.Errorf("create the disk of member %d: %w", i+1, err)
		}
		a.all[i] = m
	}
	return a, nil
}

func (a *arena) close() error {
	var errs []error
	for _, m := range a.all {
		m.kill()
		errs = append(errs, syscall.Unmount(filepath.Join(m.dir, "state"), syscall.MNT_DETACH))
	}
	if a.options.keep == "" {
		errs = append(errs, os.RemoveAll(a.dir))
	}
	return errors.Join(errs...)
}

// start starts a member that is not running.
func (a *arena) start(m *member) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	log, err := os.OpenFile(filepath.Join(m.dir, "process.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p := exec.Command("ip", "netns", "exec", namespace(m.number), a.options.program,
		"--node-config", filepath.Join(m.dir, "node.json"), "--pki-dir", filepath.Join(m.dir, "pki"),
		"--state-dir", filepath.Join(m.dir, "state"), "--log-dir", filepath.Join(m.dir, "log"))
	p.Stdout, p.Stderr = log, log
	if err := p.Start(); err != nil {
		return fmt.Errorf("start member %d: %w", m.number+1, err)
	}
	ended := make(chan struct{})
	m.process, m.ended = p, ended
	go func() {
		defer close(ended)
		_ = p.Wait()
	}()
	return nil
}

func (m *member) runs() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// signal signals the control plane itself, which `ip netns exec` executes in place.
func (m *member) signal(s syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process != nil {
		_ = m.process.Process.Signal(s)
	}
}

func (m *member) kill() {
	if !m.runs() {
		return
	}
	m.signal(syscall.SIGCONT)
	m.signal(syscall.SIGKILL)
	m.mu.Lock()
	ended := m.ended
	m.mu.Unlock()
	<-ended
}

func (a *arena) startAll(ctx context.Context) error {
	for _, m := range a.all {
		if err := a.start(m); err != nil {
			return err
		}
	}
	return a.heal(ctx)
}

// heal restarts members that have ended, as a supervisor does, until all are voters
// and serve.
func (a *arena) heal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		for _, m := range a.all {
			if !m.runs() {
				if err := a.start(m); err != nil {
					return err
				}
			}
		}
		last := a.whole(ctx)
		if last == nil {
			return nil
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("the control planes did not recover: %w", last)
		}
	}
}

func (a *arena) whole(ctx context.Context) error {
	list, err := a.etcd(0).MemberStatus(ctx)
	if err != nil {
		return err
	}
	if len(list) != members {
		return fmt.Errorf("%d members", len(list))
	}
	for _, m := range list {
		if m.Learner || m.Error != "" {
			return fmt.Errorf("member %s: learner %v, %s", m.Name, m.Learner, m.Error)
		}
	}
	for i := range a.all {
		c, err := a.client(i)
		if err != nil {
			return err
		}
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err = c.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(attempt)
		if err == nil {
			_, err = c.CoreV1().Namespaces().Get(attempt, "default", metav1.GetOptions{})
		}
		cancel()
		if err != nil {
			return fmt.Errorf("member %d: %w", i+1, err)
		}
	}
	return nil
}

// etcd returns the settings that reach the cluster through member i.
func (a *arena) etcd(i int) etcd.Settings {
	s := server.Settings{Node: a.nodes[i], PKIDir: filepath.Join(a.all[i].dir, "pki"), StateDir: filepath.Join(a.all[i].dir, "state")}.Etcd()
	s.Members = a.nodes[i].ControlPlanes
	return s
}

func (a *arena) client(i int) (*kubernetes.Clientset, error) {
	return kubernetes.NewForConfig(&rest.Config{
		Host: fmt.Sprintf("https://%s:%d", address(i), apiPort), QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{
			CAFile:   filepath.Join(a.all[i].dir, "pki", "ca.crt"),
			CertFile: filepath.Join(a.dir, "admin.crt"), KeyFile: filepath.Join(a.dir, "admin.key"),
		},
	})
}
