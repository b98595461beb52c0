// Package daemon is a cluster's process on the host: it holds the machines and
// their network, so that they live exactly as long as it does, and brings the
// cluster to what is asked of it over a unix socket. Killed at any moment and
// started again, it finishes what it had begun.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Config of a daemon.
type Config struct {
	Home home.Home
	// Name of the cluster.
	Name string
	// ImageDir holds the node image.
	ImageDir string
	// Executable is this program, run again as QEMU's wrapper; empty means the
	// running one.
	Executable string
	// Machines makes what runs machines and reaches them; nil means Lima.
	Machines func(ctx context.Context, config MachinesConfig) (Machines, error)
	// Limits of the phases; zero fields have defaults.
	Limits Limits
	// Log is where the daemon writes; nil means the cluster's log file.
	Log *slog.Logger
}

// MachinesConfig is what Machines are made from.
type MachinesConfig struct {
	Cluster    home.Cluster
	Cache      string
	Spec       cluster.Spec
	Image      image.Image
	Executable string
	Log        *slog.Logger
}

// Machines run and reach the machines of one cluster.
type Machines struct {
	Driver driver.Driver
	// Dial connects to an address in the machines' network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Run serves the machines' network until its context ends; may be nil.
	Run func(ctx context.Context) error
	// Emulated says that no hypervisor runs the machines.
	Emulated bool
}

// Limits are how long phases may take. Boot is shared by all its tries.
type Limits struct {
	Boot, ControlPlane, Join, Ready, Drain, PowerOff time.Duration
	// Idle is how long a daemon waits for a cluster to be asked of it.
	Idle time.Duration
}

// Defaults allow for emulation on a small and busy host.
func (l Limits) withDefaults() Limits {
	for _, limit := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{
		{&l.Boot, 6 * time.Minute}, {&l.ControlPlane, 8 * time.Minute},
		{&l.Join, 6 * time.Minute}, {&l.Ready, 8 * time.Minute},
		{&l.Drain, 2 * time.Minute}, {&l.PowerOff, 15 * time.Second}, {&l.Idle, 30 * time.Second},
	} {
		if *limit.value == 0 {
			*limit.value = limit.otherwise
		}
	}
	return l
}

// daemon is a running one.
type daemon struct {
	config Config
	dir    home.Cluster
	log    *slog.Logger
	// life ends everything that the daemon runs; end begins that.
	life  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu      sync.Mutex           // guards what follows
	working *operation.Operation // any but a down, running or last
	wanted  *cluster.Spec        // of working, nil if that is no apply
	leaving *operation.Operation // a down
	cluster *running             // open, nil before the first apply
	idle    time.Time            // since when nothing is asked
}

// Run serves the cluster until ctx ends, when machines are turned off and kept,
// or the cluster is taken down, when nothing of it is left. The error wraps
// home.ErrLocked if the cluster has a daemon.
func Run(ctx context.Context, config Config) (err error) {
	dir := config.Home.Cluster(config.Name)
	lock, err := dir.Acquire()
	if err != nil {
		return fmt.Errorf("run the daemon of %s: %w", config.Name, err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if config.Log == nil {
		log, closeLog, err := openLog(dir.Log())
		if err != nil {
			return fmt.Errorf("run the daemon of %s: %w", config.Name, err)
		}
		defer closeLog()
		config.Log = log
	}
	if config.Executable == "" {
		if config.Executable, err = os.Executable(); err != nil {
			return fmt.Errorf("run the daemon of %s: %w", config.Name, err)
		}
	}
	config.Limits = config.Limits.withDefaults()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	d := &daemon{config: config, dir: dir, log: config.Log, life: life, end: end, idle: time.Now()}
	if err := d.serve(ctx); err != nil {
		d.log.Error("daemon ends", "error", err)
		return fmt.Errorf("run the daemon of %s: %w", config.Name, err)
	}
	d.log.Info("daemon ends")
	return nil
}

func (d *daemon) serve(ctx context.Context) error {
	presence, err := d.dir.Presence()
	if err != nil {
		return err
	}
	if presence == home.Removing {
		if err := Sweep(d.dir); err != nil {
			return err
		}
	}
	listener, err := d.listen()
	if err != nil {
		return err
	}
	server := &http.Server{Handler: d.handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	d.log.Info("daemon serves", "cluster", d.config.Name, "pid", os.Getpid())
	d.tasks.Go(d.watchHost)

	select {
	case err = <-served:
	case <-ctx.Done():
		d.powerOff(context.WithoutCancel(ctx))
	case <-d.life.Done():
	}
	d.end()
	d.closeCluster()
	// Listeners of a stream get its last event.
	quit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = server.Shutdown(quit)
	_ = server.Close()
	d.tasks.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, d.leave())
}

// leave removes the socket, and the whole directory if there is no cluster.
func (d *daemon) leave() error {
	if err := os.Remove(d.dir.Socket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the daemon's socket: %w", err)
	}
	presence, err := d.dir.Presence()
	if err != nil || presence != home.Absent {
		return err
	}
	if err := os.RemoveAll(string(d.dir)); err != nil {
		return fmt.Errorf("remove the cluster's directory: %w", err)
	}
	return nil
}

func (d *daemon) listen() (net.Listener, error) {
	// We have the lock: a socket that exists is a dead daemon's.
	if err := os.Remove(d.dir.Socket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove a dead daemon's socket: %w", err)
	}
	listener, err := net.Listen("unix", d.dir.Socket())
	if err != nil {
		return nil, fmt.Errorf("listen at the daemon's socket: %w", err)
	}
	if err := os.Chmod(d.dir.Socket(), 0o600); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("keep the daemon's socket to its user: %w", err)
	}
	return listener, nil
}

// closeCluster ends the machines and all that serves them.
func (d *daemon) closeCluster() {
	d.mu.Lock()
	c := d.cluster
	d.cluster = nil
	working := d.working
	d.mu.Unlock()
	if working != nil {
		working.Cancel(context.Canceled)
		<-working.Done()
	}
	if c == nil {
		return
	}
	if err := c.close(); err != nil {
		d.log.Error("machines did not end well", "error", err)
	}
}

// powerOff lets all guests turn themselves off, for a while; paused ones go on
// for that, so that they write to their disks what they hold.
func (d *daemon) powerOff(ctx context.Context) {
	d.mu.Lock()
	c, active := d.cluster, d.active()
	d.mu.Unlock()
	if c == nil {
		return
	}
	if active != nil && active.Kind() == operation.KindPause {
		active.Cancel(context.Canceled)
		<-active.Done()
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.Limits.PowerOff)
	defer cancel()
	if c.paused(ctx) {
		c.wakeMachines(ctx)
	}
	c.powerOff(ctx)
}

// watchHost looks now and then at what no request tells: that the host slept,
// that the cluster's directory is gone, that nobody wants a cluster.
func (d *daemon) watchHost() {
	ticker := time.NewTicker(clockPeriod)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-d.life.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if slept(now.Round(0).Sub(last.Round(0)), now.Sub(last)) {
			d.setClocks()
		}
		last = now
		if d.abandoned(now) {
			d.log.Info("nobody asks for a cluster here")
			d.end()
			return
		}
	}
}

// abandoned says that the cluster's directory was removed from outside, or that
// no cluster was asked for in a while.
func (d *daemon) abandoned(now time.Time) bool {
	if _, err := os.Stat(d.dir.Socket()); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	busy := d.cluster != nil || d.leaving != nil || d.active() != nil
	if busy {
		d.idle = now
	}
	return now.Sub(d.idle) > d.config.Limits.Idle
}

// clockPeriod is how often the host's clocks are compared, clockJump how far
// they may differ: more, and the host slept or its clock was set.
const (
	clockPeriod = 5 * time.Second
	clockJump   = 2 * time.Second
)

// slept says whether the wall clock went on otherwise than time that counts.
func slept(wall, monotonic time.Duration) bool { return (wall - monotonic).Abs() > clockJump }

// setClocks gives all running nodes the host's time.
func (d *daemon) setClocks() {
	d.mu.Lock()
	c := d.cluster
	d.mu.Unlock()
	if c == nil {
		return
	}
	d.log.Info("the host slept or its clock was set; setting the nodes' clocks")
	ctx, cancel := context.WithTimeout(d.life, 10*time.Second)
	defer cancel()
	c.setClocks(ctx)
	c.wake() // certificates may have run out meanwhile
}
