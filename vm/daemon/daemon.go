// Package daemon is a cluster's process on the host. It holds the cluster's lock,
// serves its API on a unix socket, and keeps the machines and their network
// (package fleet), which live exactly as long as it does. It can be killed at any
// moment: started again, it continues what it had begun.
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

	"github.com/skiff-dev/skiff/internal/unixsocket"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/registry/client"
	"github.com/skiff-dev/skiff/vm/repair"
	"github.com/skiff-dev/skiff/vm/standby"
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
	// Machines opens the driver and the network; nil means drivers.Open.
	Machines func(ctx context.Context, config drivers.Config) (drivers.Machines, error)
	// Unpacker returns what makes machines of the copies in snapshots; nil means
	// drivers.Unpacker.
	Unpacker func(dir home.Cluster, driver string) (driver.Unpacker, error)
	// Registry is the user's registry; nil if nodes pull directly.
	Registry *client.Client
	// Services returns what the host reaches of another cluster; nil if clusters do not
	// reach each other.
	Services func(ctx context.Context, cluster string) (daemonapi.Services, error)
	// Dashboard makes the dashboard in the browser, which reads the cluster's state from
	// the daemon's API and does nothing before it is opened; nil for no dashboard.
	Dashboard func(api http.Handler, log *slog.Logger) Dashboard
	// Logs is the command that keeps logs, the program first; nil to keep none.
	Logs []string
	// Host returns what machines have to fit into; nil means offline.Host.
	Host func(home.Home) cluster.Host
	// Busy reports whether this host is too busy to give its machines time; nil means
	// repair.Busy.
	Busy func() bool
	// Limits of the phases of a change; zero fields have defaults.
	Limits fleet.Limits
	// Owner is the process for which the cluster exists: when it has ended, the
	// cluster is taken down. 0 means that the cluster stays.
	Owner int
	// Idle is how long the daemon waits for a first request to create the cluster
	// before it exits; 30 s if zero.
	Idle time.Duration
	// Log is where the daemon writes; nil means the cluster's log file.
	Log *slog.Logger
}

const defaultIdle = 30 * time.Second

// daemon is a running one.
type daemon struct {
	config Config
	dir    home.Cluster
	log    *slog.Logger
	end    context.CancelFunc // ends the daemon
	tasks  sync.WaitGroup     // operations and the watch of the host

	dashboard Dashboard // may be nil; set before the daemon serves

	standby *standby.Gate // what uses the cluster

	receiving sync.Mutex // held while the snapshot of a restore is stored

	mu      sync.Mutex           // guards the fields below
	working *operation.Operation // the running or last change other than those
	desired *cluster.Spec        // what working brings the cluster to, nil if it is not an apply
	leaving *operation.Operation // a stop or a down
	fleet   *fleet.Fleet         // nil before the first apply
	idle    time.Time            // since when there has been nothing to do
}

// Run serves the cluster until ctx ends, when it shuts the machines down and keeps
// their disks, or until the cluster is taken down, which leaves nothing behind.
// The error wraps home.ErrLocked if the cluster already has a daemon.
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
	if config.Idle == 0 {
		config.Idle = defaultIdle
	}
	if config.Host == nil {
		config.Host = offline.Host
	}
	if config.Busy == nil {
		config.Busy = repair.Busy
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	d := &daemon{config: config, dir: dir, log: config.Log, end: end, standby: standby.New(), idle: time.Now()}
	if err := d.serve(ctx, life); err != nil {
		d.log.Error("daemon exits", "error", err)
		return fmt.Errorf("run the daemon of %s: %w", config.Name, err)
	}
	d.log.Info("daemon exits")
	return nil
}

// serve serves until ctx ends, which powers the machines off first, or life ends.
func (d *daemon) serve(ctx, life context.Context) error {
	presence, err := d.dir.Presence()
	if err != nil {
		return err
	}
	if presence == home.Removing {
		if err := offline.Sweep(d.dir); err != nil {
			return err
		}
	}
	if err := d.endRestoreSnapshot(); err != nil {
		return err
	}
	listener, err := d.listen()
	if err != nil {
		return err
	}
	handler := d.handler(life)
	if d.config.Dashboard != nil {
		d.dashboard = d.config.Dashboard(handler, d.log)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelWarn)}
	served := make(chan error)
	serve := func(l net.Listener) {
		err := server.Serve(l)
		select {
		case served <- err:
		case <-life.Done():
		}
	}
	go serve(listener)
	d.log.Info("daemon serves", "cluster", d.config.Name, "pid", os.Getpid())
	d.tasks.Go(func() {
		d.watchHost(life, func() error {
			again, err := d.listen()
			if err == nil {
				go serve(again) // the old listener lasts until the server is shut down
			}
			return err
		})
	})

	d.tasks.Go(func() { d.watchNodes(life) })
	d.tasks.Go(func() { d.watchRoom(life) })
	d.tasks.Go(func() { d.watchUse(life) })
	d.tasks.Go(func() { d.watchForeign(life) })

	if d.config.Owner != 0 {
		d.tasks.Go(func() { d.watchOwner(life) })
	}

	select {
	case err = <-served:
	case <-ctx.Done():
		// The host may be shutting down, and may not wait until the memory is on disk.
		<-d.beginStop(life, daemonapi.StopRequest{Shutdown: true}).Done()
	case <-life.Done():
	}
	d.end()
	if d.dashboard != nil {
		d.dashboard.Close()
	}
	d.closeFleet()
	// Listeners of a stream receive its last event.
	quit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(quit); err != nil {
		d.log.Warn("requests did not end and were cut off", "error", err)
	}
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

// listen listens on the daemon's socket. The daemon holds the lock, so an existing
// socket is a dead daemon's.
func (d *daemon) listen() (net.Listener, error) {
	listener, err := unixsocket.Listen(d.dir.Socket())
	if err != nil {
		return nil, fmt.Errorf("serve the daemon's socket: %w", err)
	}
	return listener, nil
}

// open returns the open cluster, nil if there is none.
func (d *daemon) open() *fleet.Fleet {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fleet
}

// closeFleet stops the current operation and ends the machines at once.
func (d *daemon) closeFleet() {
	d.mu.Lock()
	f, working := d.fleet, d.working
	d.fleet = nil
	d.mu.Unlock()
	if working != nil {
		working.Cancel(context.Canceled)
		<-working.Done()
	}
	if f != nil {
		d.endFleet(f)
	}
}

// endFleet ends the machines at once.
func (d *daemon) endFleet(f *fleet.Fleet) {
	if err := f.Close(); err != nil {
		d.log.Error("machines did not end cleanly", "error", err)
	}
}
