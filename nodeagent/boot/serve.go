package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/boot/api"
	"github.com/skiff-dev/skiff/nodeagent/boot/disk"
	"github.com/skiff-dev/skiff/nodeagent/boot/program"
	"github.com/skiff-dev/skiff/nodeagent/boot/spool"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// ServeAPI serves the node API on the node's own address until ctx ends. PID 1 runs
// it as a separate program.
func ServeAPI(ctx context.Context) error {
	node, err := nodeconfig.Read(nodeconfig.Path)
	if err != nil {
		return err
	}
	address := netip.AddrPortFrom(node.Network.Address.Addr(), nodeconfig.PortNodeAPI)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address.String())
	if err != nil {
		return fmt.Errorf("listen for the node API: %w", err)
	}
	announce(address)
	var settings follower
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	kept := spool.New(spool.Config{
		Dir: filepath.Dir(nodeconfig.LogDir), Pods: "pods", Programs: filepath.Base(nodeconfig.LogDir), Kept: "skiff-kept",
		RunDir: runLogDir, Log: log,
	})
	server := &api.Server{
		PKIDir:      nodeconfig.PKIDir,
		Status:      readState,
		Power:       signalPower,
		Clock:       api.SetClock,
		AheadFile:   filepath.Join(nodeconfig.Dir, "clock-ahead"),
		Host:        func(host nodeconfig.Host) error { return settings.follow(node.Network, host) },
		Identity:    func(other nodeconfig.Node, raw []byte) error { return takeIdentity(node, other, raw) },
		Random:      api.SeedRandom,
		LogDirs:     []string{nodeconfig.LogDir, runLogDir},
		Spool:       kept,
		DataDir:     dataDir,
		AlarmsDir:   nodeconfig.AlarmsDir,
		Filler:      &api.Filler{Dir: dataDir},
		Builder:     api.Builder{Dir: nodeconfig.BuilderDir, Socket: nodeconfig.BuilderSocket, Start: nodeconfig.BuilderStart},
		RuntimesDir: nodeconfig.RuntimesDir,
		Mounted:     mounted,
		Env:         func() []string { return append(environment(), program.ReadEnvironment(nodeconfig.ProxyFile)...) },
		Log:         log,
	}
	if node.Role == nodeconfig.RoleControlPlane {
		server.ControlSocket = nodeconfig.ControlSocket
	}
	if Sandboxed() {
		server.Clock = func(time.Time) error { return nil } // the clock is the host's
		server.Random = func([]byte) error { return nil }   // so is the random generator
		server.Filler = nil                                 // and so is the disk
		server.MemoryUsed = memoryUsed
	} else {
		server.Grow = func(ctx context.Context) error { return disk.Grow(ctx, runToEnd, dataDir) }
	}
	if server.Filler != nil {
		// The machine or this program may have ended while the disk was full.
		if err := server.Filler.Free(); err != nil {
			log.Error("free the disk", "error", err)
		}
	}
	ctx, end := context.WithCancel(ctx)
	var keeping sync.WaitGroup
	defer keeping.Wait()
	defer end()
	keeping.Go(func() { keepLogs(ctx, kept, log) })
	return server.Run(ctx, listener)
}

// runToEnd runs a program and returns its exit code and output.
func runToEnd(ctx context.Context, args ...string) (int, string, error) {
	output, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode(), string(output), nil
	}
	return 0, string(output), err
}

// kernelAgain is the pause after the kernel's log could not be written.
const kernelAgain = time.Minute

// keepLogs keeps log files for the host. If a part of that fails, the node API works
// without it.
func keepLogs(ctx context.Context, kept *spool.Spool, log *slog.Logger) {
	var all sync.WaitGroup
	defer all.Wait()
	if !Sandboxed() { // the kernel is the host's
		all.Go(func() {
			for ctx.Err() == nil {
				if err := kept.Kernel(ctx); err != nil {
					log.Error("keep the kernel's log", "error", err)
					_ = pause.For(ctx, kernelAgain) // a full disk, perhaps
				}
			}
		})
	}
	if err := kept.Run(ctx); err != nil {
		log.Error("keep log files", "error", err)
	}
}

// follower takes over changed settings of the host.
type follower struct {
	mu  sync.Mutex // held while settings are taken over
	due bool       // programs still have an earlier proxy
}

// follow takes settings over. containerd and the builder read the proxy only when they
// start; containers keep running meanwhile.
func (f *follower) follow(network nodeconfig.Network, host nodeconfig.Host) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := program.ReadEnvironment(nodeconfig.ProxyFile)
	err := takeOver(network, host)
	// It stays due after a failure: the host tries again with the same proxy.
	f.due = f.due || !slices.Equal(before, program.ReadEnvironment(nodeconfig.ProxyFile))
	if err != nil || !f.due {
		return err
	}
	if err := errors.Join(restart(programContainerd), restart(programBuilder)); err != nil {
		return err
	}
	f.due = false
	return nil
}

// restart ends a program, which PID 1 then starts again. One that is not running
// starts with the new settings anyway.
func restart(name string) error {
	state, err := readState()
	if err != nil {
		return err
	}
	for _, p := range state.Programs {
		if p.Name == name && p.PID > 1 {
			if err := unix.Kill(p.PID, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("restart %s: %w", name, err)
			}
		}
	}
	return nil
}

// announce tells the host, which reads the console, that it can connect. An earlier
// connection would hang until it times out.
func announce(address netip.AddrPort) {
	console, err := os.OpenFile("/dev/console", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return // nobody reads it
	}
	defer console.Close()
	_, _ = fmt.Fprintf(console, "skiff-init: %.2fs listening %s\n", uptime().Seconds(), address)
}

// signalPower signals PID 1 as busybox's poweroff and reboot do.
func signalPower(action string) error {
	with := unix.SIGUSR2
	if action == nodeapi.PowerActionRestart {
		with = unix.SIGTERM
	}
	return unix.Kill(1, with)
}

// mounted reports whether the node's own disk is mounted: containerd starts only then.
func mounted() bool {
	state, err := readState()
	return err == nil && slices.ContainsFunc(state.Programs, func(p nodeapi.Program) bool {
		return p.Name == programContainerd && !p.Started.IsZero()
	})
}
