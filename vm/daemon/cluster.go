package daemon

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/balancer"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/kube"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/node"
	"github.com/skiff-dev/skiff/vm/operation"
)

// tokenLifetime is how long a kubelet without a certificate can join.
const tokenLifetime = 2 * time.Hour

// running is an open cluster: its machines can be started and reached.
type running struct {
	dir          home.Cluster
	log          *slog.Logger
	limits       Limits
	image        image.Image
	machines     Machines
	loadBalancer *balancer.Balancer
	nodes        *node.Pool
	kube         *kube.Client
	// tokenID and tokenSecret are what kubelets join with while this daemon lives.
	tokenID, tokenSecret string

	life  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup
	// woken is told that certificates may have run out: the host slept, or
	// somebody asks for the cluster.
	woken chan struct{}

	// handout is held while a running node gets new files, so that it never gets
	// older ones last.
	handout sync.Mutex

	mu    sync.Mutex // guards state, keys and ended
	state cluster.State
	keys  keychain
	// ended says how machines ended by themselves, by name, until they are
	// started again.
	ended map[string]string
}

// spec is what the cluster was last asked to be.
func (c *running) spec() cluster.Spec {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Spec
}

// known is what the host knows of the cluster.
func (c *running) known() cluster.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.state
	state.Nodes = slices.Clone(state.Nodes)
	return state
}

// leaving are the control planes that are not wanted any more.
func (c *running) leaving() []cluster.Node { return cluster.Leaving(c.known()) }

// keychain is the cluster's, as it is now.
func (c *running) keychain() keychain {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keys
}

func (c *running) setKeychain(keys keychain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = keys
}

// names of all machines that exist or may exist.
func (c *running) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.state.Nodes)
}

// change changes the state and writes it.
func (c *running) change(change func(*cluster.State)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.state)
	return cluster.WriteState(c.dir.State(), c.state)
}

// endedReason says how a machine ended by itself, empty if it did not.
func (c *running) endedReason(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended[name]
}

// address of a node, false if there is none of that name.
func (c *running) address(name string) (netip.Addr, bool) {
	for _, n := range cluster.Nodes(c.spec()) {
		if n.Name == name {
			return n.Address.Addr(), true
		}
	}
	return netip.Addr{}, false
}

// node returns a client of a node's API.
func (c *running) node(n cluster.Node) *node.Client { return c.nodes.Node(n.Name, n.Address.Addr()) }

// open makes spec's cluster ready to be run: state, certificates, network, API
// load balancer, driver. Nothing boots.
func open(ctx context.Context, config Config, dir home.Cluster, spec cluster.Spec) (c *running, err error) {
	now := time.Now()
	node, err := image.Read(config.ImageDir)
	if err != nil {
		return nil, operation.Invalid(err, "build it with \"make image\", or name its directory with SKIFF_IMAGE_DIR")
	}
	state, err := cluster.ReadState(dir.State())
	if err != nil && !cluster.IsAbsent(err) {
		return nil, err
	}
	if err != nil {
		state = cluster.State{Created: now.UTC()}
	}
	if spec.APIPort == 0 {
		spec.APIPort = state.Spec.APIPort
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", spec.APIPort))
	if err != nil {
		return nil, operation.Invalid(fmt.Errorf("port %d on 127.0.0.1 is in use", spec.APIPort), "choose another with --api-port, or 0 for any free one")
	}
	defer func() {
		if err != nil {
			_ = listener.Close()
		}
	}()
	spec.APIPort = listener.Addr().(*net.TCPAddr).Port
	state.Spec, state.Image = spec, node.Digest
	state.Nodes = union(state.Nodes, spec)
	if err := cluster.WriteState(dir.State(), state); err != nil {
		return nil, err
	}
	keys, err := openKeychain(dir.PKI(), now)
	if err != nil {
		return nil, err
	}
	newMachines := config.Machines
	if newMachines == nil {
		newMachines = machinesOf(spec.Driver)
	}
	machines, err := newMachines(ctx, MachinesConfig{
		Cluster: dir, Cache: config.Home.Cache(), Spec: spec, Image: node,
		Executable: config.Executable, Log: config.Log,
	})
	if err != nil {
		return nil, err
	}
	c = &running{
		dir: dir, log: config.Log, limits: config.Limits, image: node, keys: keys, machines: machines,
		loadBalancer: &balancer.Balancer{Listener: listener, Log: config.Log},
		state:        state, ended: map[string]string{}, woken: make(chan struct{}, 1),
	}
	c.life, c.end = context.WithCancel(context.WithoutCancel(ctx))
	c.loadBalancer.Dial = c.dial
	return c, c.connect()
}

// connect makes the clients and begins to serve.
func (c *running) connect() error {
	tls, err := c.nodeTLS()
	if err != nil {
		return err
	}
	c.nodes = node.NewPool(c.dial, tls)
	api, err := c.apiConfig()
	if err != nil {
		return err
	}
	if c.kube, err = kube.New(api); err != nil {
		return err
	}
	c.tokenID, c.tokenSecret = token()
	c.pointLoadBalancer()
	c.serve("API load balancer", c.loadBalancer.Run)
	c.serve("control planes", c.followControlPlanes)
	c.serve("certificates", c.keepCertificates)
	if c.machines.Run != nil {
		c.serve("network", c.machines.Run)
	}
	return nil
}

func (c *running) serve(name string, run func(context.Context) error) {
	c.tasks.Go(func() {
		if err := run(c.life); err != nil {
			c.log.Error("a part of the cluster's network ended", "part", name, "error", err)
		}
	})
}

// close ends the machines, then what serves them.
func (c *running) close() error {
	err := c.machines.Driver.Close()
	c.end()
	c.nodes.CloseIdleConnections()
	c.tasks.Wait()
	return err
}

// machine is what the driver gets to run a node: with certificates and a
// document made now.
func (c *running) machine(n cluster.Node, now time.Time) (machine.Machine, error) {
	spec := c.spec()
	memory, err := cluster.MiB(spec.Memory)
	if err != nil {
		return machine.Machine{}, err
	}
	disk, err := cluster.MiB(spec.Disk)
	if err != nil {
		return machine.Machine{}, err
	}
	document, err := c.document(n, now)
	if err != nil {
		return machine.Machine{}, err
	}
	seed, err := json.Marshal(document)
	if err != nil {
		return machine.Machine{}, err
	}
	return machine.Machine{
		Name: n.Name, CPUs: spec.CPUs, MemoryMiB: memory, DiskMiB: disk,
		Image: c.image.Image, Address: n.Address, MAC: n.MAC, Seed: seed,
	}, nil
}

// document is what makes a booted image the node, with certificates made now.
func (c *running) document(n cluster.Node, now time.Time) (nodeconfig.Node, error) {
	files, err := c.keychain().node(c.spec(), n, now)
	if err != nil {
		return nodeconfig.Node{}, err
	}
	document := cluster.Document(c.known(), n, files, c.tokenID+"."+c.tokenSecret, now)
	document.Emulated = c.machines.Emulated
	return document, nil
}

// start boots a machine and watches that it does not end by itself.
func (c *running) start(ctx context.Context, m machine.Machine) error {
	if err := c.machines.Driver.Start(ctx, m); err != nil {
		return err
	}
	c.mu.Lock()
	delete(c.ended, m.Name)
	c.mu.Unlock()
	c.tasks.Go(func() {
		err := c.machines.Driver.Wait(c.life, m.Name)
		if errors.Is(err, driver.ErrNotFound) || c.life.Err() != nil {
			return // stopped by us
		}
		reason := "the node turned itself off"
		if err != nil {
			reason = err.Error()
		}
		c.log.Warn("machine stopped by itself", "machine", m.Name, "reason", reason)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended[m.Name] = reason
	})
	return nil
}

// states of all machines that exist or may exist.
func (c *running) states(ctx context.Context) (map[string]machine.State, error) {
	states := map[string]machine.State{}
	for _, name := range c.names() {
		state, err := c.machines.Driver.State(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("look at machine %s: %w", name, err)
		}
		states[name] = state
	}
	return states, nil
}

// observe looks at everything that a plan depends on.
func (c *running) observe(ctx context.Context) (cluster.Observed, error) {
	states, err := c.states(ctx)
	if err != nil {
		return cluster.Observed{}, err
	}
	observed := cluster.Observed{Prepared: true, Machines: states, Ended: map[string]string{}, Ready: map[string]bool{}}
	anything := false
	for name, state := range states {
		observed.Ended[name] = c.endedReason(name)
		anything = anything || state == machine.StateRunning
	}
	if !anything {
		return observed, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if c.kube.Ready(ctx) != nil {
		return observed, nil
	}
	nodes, err := c.kube.Nodes(ctx)
	if err != nil {
		return observed, nil
	}
	observed.APIReady = true
	for name, node := range nodes {
		observed.Ready[name] = node.Ready == "True"
	}
	return observed, nil
}

// each calls do for every node that has a running machine, at once.
func (c *running) each(ctx context.Context, do func(n cluster.Node)) {
	var all sync.WaitGroup
	for _, n := range cluster.Nodes(c.spec()) {
		if state, err := c.machines.Driver.State(ctx, n.Name); err == nil && state == machine.StateRunning {
			all.Go(func() { do(n) })
		}
	}
	all.Wait()
}

func (c *running) setClocks(ctx context.Context) {
	c.each(ctx, func(n cluster.Node) {
		if err := c.node(n).SetClock(ctx, time.Now()); err != nil {
			c.log.Warn("cannot set a node's clock", "node", n.Name, "error", err)
		}
	})
}

// powerOff lets the guests turn themselves off and waits for it until ctx ends.
func (c *running) powerOff(ctx context.Context) {
	c.each(ctx, func(n cluster.Node) {
		if err := c.node(n).PowerOff(ctx); err != nil {
			c.log.Warn("a node cannot be turned off", "node", n.Name, "error", err)
			return
		}
		_ = c.machines.Driver.Wait(ctx, n.Name)
	})
}

// union of names and the nodes that spec wants.
func union(names []string, spec cluster.Spec) []string {
	all := slices.Clone(names)
	for _, n := range cluster.Nodes(spec) {
		if !slices.Contains(all, n.Name) {
			all = append(all, n.Name)
		}
	}
	return all
}

// token is a new bootstrap token's id and secret, of 6 and 16 characters
// (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/).
func token() (id, secret string) {
	text := strings.ToLower(rand.Text())
	return text[:6], text[6:22]
}
