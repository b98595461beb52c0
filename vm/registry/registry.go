// Package registry is the user's registry: one process for all clusters. Images are
// pushed to it on the host's loopback, and nodes pull them from it, together with
// images of other registries, which it keeps. It can be killed at any moment, and
// what it stores outlives all clusters.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/skiff-dev/skiff/internal/boundedlog"
	"github.com/skiff-dev/skiff/internal/unixsocket"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/registry/cache"
	"github.com/skiff-dev/skiff/vm/registry/pushed"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

const (
	// DefaultPort is where images are pushed to unless it is taken.
	DefaultPort = 5001
	// DefaultBytes is how large the pushed images may be, and the cached ones.
	DefaultBytes = 20 << 30
	// maxLog is how large the log grows, in bytes, before it becomes NAME.1.
	maxLog = 4 << 20
)

// Config of a registry.
type Config struct {
	Home home.Home
	// Port on 127.0.0.1; 0 means the one that was chosen last, or DefaultPort. If that is
	// taken, it is one that the registry has had, or the next free one.
	Port int
	// LimitBytes bounds the pushed images, and the cached ones; 0 means that of the
	// last start, or DefaultBytes.
	LimitBytes int64
	// Idle is how long the registry runs without a cluster that uses it; 30 s if zero.
	Idle time.Duration
	// Log is where the registry writes; nil means its log file.
	Log *slog.Logger
}

// registry is a running one.
type registry struct {
	config Config
	dir    home.Registry
	log    *slog.Logger
	end    context.CancelFunc // ends the process
	users  *users
	cache  *cache.Cache
	pushed *pushed.Store
	status registryapi.Status // what does not change
	served []int              // ports that it has or had
	tasks  sync.WaitGroup
}

// Run serves until ctx ends, until it is told to stop, or until no cluster has used
// it for a while. The error wraps home.ErrLocked if the user already has a registry.
func Run(ctx context.Context, config Config) (err error) {
	dir := config.Home.Registry()
	lock, err := dir.Acquire()
	if err != nil {
		return fmt.Errorf("run the registry: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if config.Log == nil {
		log, closeLog, err := openLog(dir.Log())
		if err != nil {
			return fmt.Errorf("run the registry: %w", err)
		}
		defer closeLog()
		config.Log = log
	}
	if config.Idle == 0 {
		config.Idle = 30 * time.Second
	}
	life, end := context.WithCancel(ctx)
	defer end()
	r := &registry{config: config, dir: dir, log: config.Log, end: end, users: newUsers(config.Idle, end)}
	if err := r.serve(life); err != nil {
		r.log.Error("registry exits", "error", err)
		return fmt.Errorf("run the registry: %w", err)
	}
	r.log.Info("registry exits")
	return nil
}

// openLog opens the registry's log, also for the library that has a global logger.
func openLog(path string) (*slog.Logger, func(), error) {
	out, err := boundedlog.Open(path, maxLog)
	if err != nil {
		return nil, nil, err
	}
	logrus.SetOutput(out)
	logrus.SetLevel(logrus.FatalLevel) // a manifest that does not exist is an error to it
	return slog.New(slog.NewTextHandler(out, nil)), func() {
		logrus.SetOutput(io.Discard)
		_ = out.Close()
	}, nil
}

// serve opens the storage and serves on both listeners until life ends.
func (r *registry) serve(life context.Context) (err error) {
	saved, err := readSettings(r.dir.Settings())
	if err != nil {
		return err
	}
	chosen := saved.with(r.config)
	ports := chosen.candidates()
	if r.config.Port != 0 {
		ports = ports[:1]
	}
	pushes, err := listen(ports)
	if err != nil {
		return err
	}
	defer func() { _ = pushes.Close() }()
	port := pushes.Addr().(*net.TCPAddr).Port
	chosen = chosen.at(port)
	r.served = chosen.Served
	if !chosen.equal(saved) {
		if err := writeSettings(r.dir.Settings(), chosen); err != nil {
			return err
		}
	}
	if r.cache, err = cache.Open(cache.Config{Dir: r.dir.Cache(), LimitBytes: chosen.LimitBytes, Log: r.log}); err != nil {
		return err
	}
	if r.pushed, err = pushed.New(life, pushed.Config{Dir: r.dir.Pushed(), LimitBytes: chosen.LimitBytes, Log: r.log}); err != nil {
		return err
	}
	r.status = registryapi.Status{
		PID: os.Getpid(), Address: fmt.Sprintf("localhost:%d", port), Port: port, PortTaken: port != chosen.Port, LimitBytes: chosen.LimitBytes,
	}
	// This process holds the lock, so an existing socket is a dead registry's.
	control, err := unixsocket.Listen(r.dir.Socket())
	if err != nil {
		return fmt.Errorf("serve the registry's socket: %w", err)
	}
	defer func() { _ = os.Remove(r.dir.Socket()) }()
	r.log.Info("registry serves", "address", r.status.Address, "pid", r.status.PID)
	r.tasks.Go(func() { r.collect(life) })
	return r.serveBoth(life, pushes, control)
}

func (r *registry) serveBoth(life context.Context, pushes, control net.Listener) error {
	errorLog := slog.NewLogLogger(r.log.Handler(), slog.LevelWarn)
	servers := map[net.Listener]*http.Server{
		pushes:  {Handler: local(r.pushed), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, ErrorLog: errorLog},
		control: {Handler: r.control(life), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, ErrorLog: errorLog},
	}
	failed := make(chan error, len(servers))
	for listener, server := range servers {
		r.tasks.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	var err error
	select {
	case <-life.Done():
	case err = <-failed:
	}
	r.end()
	quit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, server := range servers {
		_ = server.Shutdown(quit)
		_ = server.Close()
	}
	r.tasks.Wait()
	return err
}

// local lets through requests of programs on this host that are meant for this host.
// A web page must not push or read images, also not under a name of its own that it
// makes lead to 127.0.0.1.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		address := net.ParseIP(host)
		ours := host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "host.docker.internal" || address != nil && address.IsLoopback()
		if !ours || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
			http.Error(w, "the registry is only for programs on this host", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// tries is how many ports are tried after one that is taken.
const tries = 50

// listen listens on the first port of 127.0.0.1 that is free.
func listen(ports []int) (listener net.Listener, err error) {
	for _, port := range ports {
		if listener, err = net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("listen for pushes: %w", err)
}

// Garbage is collected once nothing was pushed for a while. An image that lost its
// tag is kept for a day, because a pod may use it by its digest.
const (
	collectAfter  = 10 * time.Minute
	untaggedGrace = 24 * time.Hour
)

// collect deletes unused images after pushes, until life ends.
func (r *registry) collect(life context.Context) {
	for r.pushed.Rested(life, collectAfter) {
		freed, err := r.pushed.Collect(life, pushed.Options{Untagged: untaggedGrace})
		if err != nil {
			r.log.Warn("unused images not deleted, trying again after the next push", "error", err)
			continue
		}
		r.log.Info("deleted unused images", "bytes", freed)
	}
}
