package lima

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/balajiv113/fd"
	limadriver "github.com/lima-vm/lima/v2/pkg/driver"
	"github.com/lima-vm/lima/v2/pkg/limatype"
	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"
	"github.com/lima-vm/lima/v2/pkg/limayaml"
	"github.com/lima-vm/lima/v2/pkg/networks"
	"github.com/lima-vm/lima/v2/pkg/networks/usernet"
	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/vm/machine"
)

// stopLimit bounds how long a guest may take to stop under vz, which offers no
// way to end it at once.
const stopLimit = 20 * time.Second

func needsQEMU() bool { return newVZ == nil }

func installHint(string) string { return "on a Mac: brew install qemu" }

func prepare(ctx context.Context, config Config, accel Acceleration) (platform, error) {
	if newVZ == nil {
		return qemuPlatform{}, environment(ctx, config, accel)
	}
	if err := os.Setenv("LIMA_HOME", config.Dir); err != nil {
		return nil, fmt.Errorf("set LIMA_HOME: %w", err)
	}
	if err := serveIdleNetwork(config.Dir); err != nil {
		return nil, fmt.Errorf("serve the network that Lima asks for: %w", err)
	}
	return vzPlatform{}, nil
}

// native returns what runs guest code if that is known without a probe.
func native(program string) (Acceleration, bool) {
	if newVZ != nil {
		return Acceleration{Program: program, Hypervisor: appleVirtualization}, true
	}
	return Acceleration{Program: program, Hypervisor: "HVF"}, true
}

func dieWithUs(*exec.Cmd) {}

// commandLine returns the command line of a process; empty if there is no such
// process.
func commandLine(pid int) []byte {
	out, _ := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return bytes.TrimSpace(out)
}

func proportionalMiB(int) int { return 0 }

// cpuTime returns 0: the CPU time of a process cannot be read without cgo.
func cpuTime(int) time.Duration { return 0 }

// vzPlatform runs machines with Apple's virtualization, in this process.
type vzPlatform struct{}

func (vzPlatform) vmType() limatype.VMType { return limatype.VZ }

// networks returns the networks of a machine. Lima requires one of its own kinds as
// the first, which the guest ignores; ours is the second.
func (vzPlatform) networks(socket, mac string) []limatype.Network {
	return []limatype.Network{{Lima: networks.ModeUserV2}, {Socket: socket, MACAddress: mac}}
}

func (vzPlatform) configure(ctx context.Context, inst *limatype.Instance) (limadriver.Driver, error) {
	configured, err := newVZ().Configure(ctx, inst)
	if err != nil {
		return nil, err
	}
	return configured.Driver, nil
}

// wait returns nil when the machine has stopped, which vz always reports as an
// error.
func (vzPlatform) wait(ctx context.Context, lima limadriver.Driver, ended <-chan error) error {
	stopped := make(chan error, 1)
	release := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		stopped <- lima.Stop(limit)
	})
	defer release()
	select {
	case <-ended:
		return nil
	case err := <-stopped:
		return err
	}
}

func (vzPlatform) createDisk(_ context.Context, path string, sizeMiB int) error {
	return atomically(path, func(temporary string) error {
		file, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		return errors.Join(file.Truncate(int64(sizeMiB)<<20), file.Close())
	})
}

// errNoGrow: Apple's framework does not tell a guest that its disk has grown.
var errNoGrow = fmt.Errorf("%w: disks grow only while the cluster is stopped; run \"skiff stop\" and \"skiff up\"", errors.ErrUnsupported)

func (vzPlatform) growDisk(_ context.Context, _, path string, sizeMiB int, running bool) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.Size() >= int64(sizeMiB)<<20:
		return nil
	case running:
		return errNoGrow
	}
	return os.Truncate(path, int64(sizeMiB)<<20)
}

// createRoot clones root, which needs no copy on APFS.
func (vzPlatform) createRoot(_ context.Context, root, path string) error {
	if err := remove(path); err != nil {
		return err
	}
	return atomically(path, func(temporary string) error {
		if err := unix.Clonefile(root, temporary, 0); err == nil {
			return nil
		}
		return copyFile(root, temporary)
	})
}

// errNoPause: Apple's framework can pause machines, but Lima does not export them.
var errNoPause = fmt.Errorf("%w: Lima cannot pause machines of Apple's virtualization; use \"skiff stop\", which keeps the disks", errors.ErrUnsupported)

// NoPause returns why machines cannot be paused.
func NoPause() error { return errNoPause }

func (vzPlatform) pause(context.Context, string) error { return errNoPause }

func (vzPlatform) resume(context.Context, string) error { return errNoPause }

// share adds the folders to the machine's devices.
func (vzPlatform) share(_ context.Context, inst *limatype.Instance, folders []machine.Folder) (io.Closer, error) {
	inst.Config.MountType = ptr(limatype.VIRTIOFS)
	for _, f := range folders {
		inst.Config.Mounts = append(inst.Config.Mounts, limatype.Mount{
			Location: f.Host, MountPoint: ptr(f.Path), Writable: ptr(!f.ReadOnly),
		})
	}
	return io.NopCloser(nil), nil
}

func (vzPlatform) attach(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (vzPlatform) follow(context.Context, string, stalls) error { return nil }

func (vzPlatform) usage(string) (memoryMiB int, cpu time.Duration) { return 0, 0 }

func copyFile(source, target string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// serveIdleNetwork replaces the network that Lima's vz driver expects: it accepts
// the machines' first links, drops their frames and answers the driver's requests.
// It runs until the process ends.
func serveIdleNetwork(dir string) error {
	sockets := map[string]func(net.Listener){
		usernet.FDSock: drain,
		usernet.EndpointSock: func(listener net.Listener) {
			server := &http.Server{Handler: idleNetwork(dir), ReadHeaderTimeout: time.Second}
			_ = server.Serve(listener)
		},
	}
	for kind, serve := range sockets {
		path, err := usernet.Sock(networks.ModeUserV2, kind)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := remove(path); err != nil {
			return err
		}
		listener, err := net.Listen("unix", path)
		if err != nil {
			return err
		}
		go serve(listener)
	}
	return nil
}

// idleNetwork reports an address for every machine, and success for all else.
func idleNetwork(dir string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /services/dhcp/leases", func(w http.ResponseWriter, _ *http.Request) {
		leases := map[string]string{}
		kernels, _ := filepath.Glob(filepath.Join(dir, "*", filenames.Kernel))
		for i, kernel := range kernels {
			leases[fmt.Sprintf("169.254.1.%d", i+1)] = limayaml.MACAddress(filepath.Dir(kernel))
		}
		_ = json.NewEncoder(w).Encode(leases)
	})
	return mux
}

func drain(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			files, err := fd.Get(conn.(*net.UnixConn), 1, []string{"client"})
			if err != nil || len(files) != 1 {
				return
			}
			defer func() { _ = files[0].Close() }()
			_, _ = io.Copy(io.Discard, files[0])
		}()
	}
}
