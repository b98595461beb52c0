package boot

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/boot/api"
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
	server := &api.Server{
		PKIDir:        nodeconfig.PKIDir,
		KubeletPKIDir: filepath.Join(nodeconfig.KubeletDir, "pki"),
		Status:        readState,
		Power:         signalPower,
		Clock:         api.SetClock,
		Host:          func(host nodeconfig.Host) error { return takeOver(node.Network, host) },
		LogDirs:       []string{nodeconfig.LogDir, runLogDir},
		DataDir:       dataDir,
		AlarmsDir:     nodeconfig.AlarmsDir,
		Env:           environment(),
		Log:           slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if node.Role == nodeconfig.RoleControlPlane {
		server.ControlSocket = nodeconfig.ControlSocket
	}
	if Sandboxed() {
		server.Clock = func(time.Time) error { return nil } // the clock is the host's
		server.MemoryUsed = memoryUsed
	}
	return server.Run(ctx, listener)
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
