// Command containerd-shim-runsc-v1 is gVisor's shim for containerd. Unlike upstream's, it also
// starts on hosts where root may not lower the OOM score of a process.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	"golang.org/x/sys/unix"
	runsc "gvisor.dev/gvisor/pkg/shim/v1"
	_ "gvisor.dev/gvisor/pkg/shim/v1/plugin" // registers the task service
)

func main() {
	shim.Run(context.Background(), manager{runsc.NewShimManager("io.containerd.runsc.v1")})
}

// manager is gVisor's with another Start.
type manager struct{ shim.Manager }

// Start starts the shim of a container in the current directory, the container's bundle. It
// does what upstream's does without grouping, but adjusts the OOM score as runc's shim does:
// to one above containerd's instead of to -999.
func (manager) Start(ctx context.Context, id string, opts shim.StartOpts) (_ shim.BootstrapParams, err error) {
	params := shim.BootstrapParams{Version: 2, Protocol: "ttrpc"}
	if params.Address, err = shim.SocketAddress(ctx, opts.Address, id, opts.Debug); err != nil {
		return params, err
	}
	socket, err := shim.NewSocket(params.Address)
	if shim.SocketEaddrinuse(err) { // a shim that was killed has left it
		if err = shim.RemoveSocket(params.Address); err == nil {
			socket, err = shim.NewSocket(params.Address)
		}
	}
	if err != nil {
		return params, fmt.Errorf("create the shim's socket: %w", err)
	}
	defer func() {
		if err != nil {
			_ = socket.Close()
			_ = shim.RemoveSocket(params.Address)
		}
	}()
	file, err := socket.File()
	if err != nil {
		return params, err
	}
	// The shim reads it to remove the socket in the end.
	if err := os.WriteFile("address", []byte(params.Address), 0o600); err != nil {
		return params, err
	}
	command, err := command(ctx, id, opts)
	if err != nil {
		return params, err
	}
	command.ExtraFiles = []*os.File{file}
	if err := command.Start(); err != nil {
		return params, err
	}
	go func() { _ = command.Wait() }()
	if err = shim.WritePidFile("shim.pid", command.Process.Pid); err == nil {
		err = shim.AdjustOOMScore(command.Process.Pid)
	}
	if err != nil {
		_ = command.Process.Kill()
	}
	return params, err
}

// command returns the command of the shim's server.
func command(ctx context.Context, id string, opts shim.StartOpts) (*exec.Cmd, error) {
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"-namespace", namespace, "-address", opts.Address, "-id", id}
	if opts.Debug {
		args = append(args, "-debug")
	}
	command := exec.Command(self, args...)
	command.Env = append(os.Environ(), "GOMAXPROCS=2")
	command.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	return command, nil
}
