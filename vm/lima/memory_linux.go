package lima

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lima-vm/lima/v2/pkg/limatype"
	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"
	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/driver/saved"
)

// memoryName is the name of the file in memory that is the guest's (backends/hostmem-memfd.c
// of QEMU).
const memoryName = "/memfd:memory-backend-memfd (deleted)"

// devicesSock is the socket through which QEMU sends and receives the state of devices.
const devicesSock = "devices.sock"

// maxDevices limits that state, in bytes. That of a node is less than 1 MiB.
const maxDevices = 64 << 20

// incoming are QEMU's arguments for a machine that waits for its state.
var incoming = []string{"-incoming", "defer"}

var _ keeper = qemuPlatform{}

// memoryArguments returns QEMU's arguments that put the guest's memory into a file in
// memory, for a machine in dir whose other arguments are args. This process can read it
// while QEMU runs, and so can virtiofsd.
func memoryArguments(dir string, args []string) ([]string, error) {
	size := option(args, "-m")
	if size == "" {
		return nil, errors.New("QEMU is started without the size of its memory")
	}
	if !canCreateMemory() {
		return nil, nil
	}
	out := []string{"-object", "memory-backend-memfd,id=ram,share=on,size=" + size + "M", "-machine", "memory-backend=ram"}
	if exists(filepath.Join(dir, incomingFile)) {
		out = append(out, incoming...)
	}
	return out, nil
}

// NoMemory returns why the memory of machines cannot be kept; nil if it can.
func NoMemory() error {
	if !canCreateMemory() {
		return errors.New("this host does not let programs create files in memory (vm.memfd_noexec)")
	}
	return nil
}

// canCreateMemory reports whether programs may create files in memory as QEMU does. The
// sysctl vm.memfd_noexec can forbid it.
func canCreateMemory() bool {
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

// openMemory opens the memory of the machine in dir, which must run.
func openMemory(dir string) (*os.File, error) {
	pid, err := readPID(filepath.Join(dir, filenames.PIDFile(limatype.QEMU)))
	if err != nil {
		return nil, err
	}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == memoryName {
			return os.OpenFile(link, os.O_RDWR, 0)
		}
	}
	return nil, errors.New("QEMU does not have it in a file")
}

func (qemuPlatform) allocated(dir string) (int64, error) {
	memory, err := openMemory(dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = memory.Close() }()
	info, err := memory.Stat()
	if err != nil {
		return 0, err
	}
	return saved.Allocated(info), nil
}

func (qemuPlatform) process(dir string) (string, []string, error) {
	pid, err := readPID(filepath.Join(dir, filenames.PIDFile(limatype.QEMU)))
	if err != nil {
		return "", nil, err
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return "", nil, err
	}
	return path, lasting(strings.Split(strings.TrimSuffix(string(commandLine(pid)), "\x00"), "\x00")), nil
}

// lasting returns arguments without those for a machine that waits for its state, and
// without the frequency in the kernel's parameters, which is measured at every start.
func lasting(arguments []string) []string {
	arguments = slices.Clone(arguments)
	if i := slices.Index(arguments, incoming[0]); i >= 0 && i+1 < len(arguments) {
		arguments = slices.Delete(arguments, i, i+2)
	}
	if i := slices.Index(arguments, "-append"); i >= 0 && i+1 < len(arguments) {
		parameters := strings.Fields(arguments[i+1])
		arguments[i+1] = strings.Join(slices.DeleteFunc(parameters, func(p string) bool { return strings.HasPrefix(p, tscParameter) }), " ")
	}
	return arguments
}

// save writes the devices first: QEMU finishes all work on memory before that.
func (qemuPlatform) save(ctx context.Context, dir string) (memory, devices saved.File, err error) {
	if devices, err = saveDevices(ctx, dir, dir); err != nil {
		return memory, devices, err
	}
	if err = saved.Sync(dir); err != nil {
		return memory, devices, err
	}
	memory, err = saveMemory(ctx, dir)
	return memory, devices, err
}

// copyMemory makes the memory in target that of the machine in dir.
func (qemuPlatform) copyMemory(ctx context.Context, dir, target string) (written int64, err error) {
	source, err := openMemory(dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = source.Close() }()
	return saved.UpdateMemory(target, source, ctx.Err)
}

// copyDevices writes the state of the devices of a paused machine in dir to target.
func (qemuPlatform) copyDevices(ctx context.Context, dir, target string) (saved.File, error) {
	return saveDevices(ctx, dir, target)
}

// linkRoot gives the disk of a machine at path the root that it is based on.
func (qemuPlatform) linkRoot(root, path string) error { return link(root, rootOf(path)) }

func saveMemory(ctx context.Context, dir string) (saved.File, error) {
	source, err := openMemory(dir)
	if err != nil {
		return saved.File{}, err
	}
	defer func() { _ = source.Close() }()
	target, err := saved.CreateMemory(dir)
	if err != nil {
		return saved.File{}, err
	}
	copied, err := saved.Copy(target, source, ctx.Err)
	if err == nil {
		err = target.Sync()
	}
	return copied, errors.Join(err, target.Close())
}

// saveDevices has the QEMU of the machine in dir send the state of its devices without the
// shared memory, to a file in target that is not synced. A call that ends early would leave
// QEMU in the middle, so ctx does not end it.
func saveDevices(ctx context.Context, dir, target string) (saved.File, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), monitorLimit)
	defer cancel()
	socket := filepath.Join(dir, devicesSock)
	if err := remove(socket); err != nil {
		return saved.File{}, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return saved.File{}, err
	}
	defer func() { _ = listener.Close() }()
	to, err := saved.CreateDevices(target)
	if err != nil {
		return saved.File{}, err
	}
	defer func() { _ = to.Close() }()
	type received struct {
		file saved.File
		err  error
	}
	done := make(chan received, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			done <- received{err: err}
			return
		}
		defer func() { _ = conn.Close() }()
		defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
		file, err := saved.CopyStream(to, conn, maxDevices)
		done <- received{file, err}
	}()
	err = monitored(ctx, filepath.Join(dir, filenames.QMPSock), func(conn net.Conn, in *json.Decoder) error {
		return migrate(ctx, conn, in, "migrate", socket)
	})
	if err != nil {
		_ = listener.Close()
		<-done
		return saved.File{}, err
	}
	got := <-done
	return got.file, got.err
}

// migrate has QEMU send or receive its state through a socket, and returns when the
// command is accepted and, for sending, the state is complete.
func migrate(ctx context.Context, conn net.Conn, in *json.Decoder, command, socket string) error {
	_, err := execute(conn, in, "migrate-set-capabilities", map[string]any{
		"capabilities": []map[string]any{{"capability": "x-ignore-shared", "state": true}},
	})
	if err == nil {
		_, err = execute(conn, in, command, map[string]any{"uri": "unix:" + socket})
	}
	if err != nil || command != "migrate" {
		return err
	}
	return awaitMigration(ctx, conn, in)
}

// awaitMigration returns when QEMU has sent or received its state.
func awaitMigration(ctx context.Context, conn net.Conn, in *json.Decoder) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		answer, err := execute(conn, in, "query-migrate", nil)
		if err != nil {
			return err
		}
		var status struct {
			Status      string `json:"status"`
			Description string `json:"error-desc"`
		}
		if err := json.Unmarshal(answer, &status); err != nil {
			return err
		}
		switch status.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("QEMU's migration %s: %s", status.Status, status.Description)
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
	}
}

func (qemuPlatform) load(ctx context.Context, dir string, m saved.Manifest) error {
	if err := awaitMonitor(ctx, dir); err != nil {
		return err
	}
	if err := loadMemory(ctx, dir, m); err != nil {
		return fmt.Errorf("its memory: %w", err)
	}
	if err := loadDevices(ctx, dir, m); err != nil {
		return fmt.Errorf("the state of its devices: %w", err)
	}
	return nil
}

// awaitMonitor returns when QEMU takes commands. It has its memory then.
func awaitMonitor(ctx context.Context, dir string) error {
	return monitoredBy(ctx, dialStarting, filepath.Join(dir, filenames.QMPSock), func(conn net.Conn, in *json.Decoder) error {
		_, err := execute(conn, in, "query-status", nil)
		return err
	})
}

func loadMemory(ctx context.Context, dir string, m saved.Manifest) error {
	source, err := saved.OpenMemory(dir, m)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	target, err := openMemory(dir)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	info, err := target.Stat()
	if err != nil {
		return err
	}
	if info.Size() != m.Memory.Bytes {
		return fmt.Errorf("%d bytes do not fit into %d", m.Memory.Bytes, info.Size())
	}
	if err := unix.Fallocate(int(target.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, info.Size()); err != nil {
		return fmt.Errorf("clear it: %w", err)
	}
	copied, err := saved.Copy(target, source, ctx.Err)
	if err == nil && copied != m.Memory {
		err = errors.New("the checksum is wrong")
	}
	return err
}

func loadDevices(ctx context.Context, dir string, m saved.Manifest) error {
	source, err := saved.OpenDevices(dir, m)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	var content strings.Builder
	copied, err := saved.CopyStream(&content, source, maxDevices)
	if err == nil && copied != m.Devices {
		err = errors.New("the checksum is wrong")
	}
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, devicesSock)
	if err := remove(socket); err != nil {
		return err
	}
	return monitored(ctx, filepath.Join(dir, filenames.QMPSock), func(conn net.Conn, in *json.Decoder) error {
		if err := migrate(ctx, conn, in, "migrate-incoming", socket); err != nil {
			return err
		}
		if err := send(ctx, socket, content.String()); err != nil {
			return err
		}
		return awaitMigration(ctx, conn, in)
	})
}

// send sends content to a socket.
func send(ctx context.Context, socket, content string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	_, err = conn.Write([]byte(content))
	return errors.Join(err, conn.Close())
}

// describingCPU are the fields of /proc/cpuinfo that tell CPUs apart, of amd64 and arm64.
var describingCPU = []string{
	"vendor_id", "cpu family", "model", "model name", "stepping", "flags",
	"CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features",
}

// hostCPU returns a digest of what the first CPU of this host is.
func hostCPU() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	return cpuDigest(string(content))
}

func cpuDigest(cpuinfo string) string {
	first, _, _ := strings.Cut(cpuinfo, "\n\n")
	digest := sha256.New()
	for line := range strings.Lines(first) {
		name, value, _ := strings.Cut(line, ":")
		if slices.Contains(describingCPU, strings.TrimSpace(name)) {
			fmt.Fprintf(digest, "%s:%s\n", strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	return hex.EncodeToString(digest.Sum(nil))
}
