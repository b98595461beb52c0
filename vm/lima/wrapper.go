package lima

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// envDaemon holds the process ID of the daemon that machines must not outlive.
const envDaemon = "SKIFF_DAEMON_PID"

// qemuLog is the file for QEMU's own messages, in a machine's directory.
const qemuLog = "qemu.log"

// IsQEMU reports whether this program was started under QEMU's name, as Lima does
// through the link that New creates. Then main must call ExecQEMU at once.
func IsQEMU(arg0 string) bool {
	return strings.HasPrefix(filepath.Base(arg0), "qemu-system-")
}

// ExecQEMU executes the QEMU that args[0] names, which then dies with the daemon and
// has only the devices that nodes use. It returns only if it fails.
func ExecQEMU(args []string) error {
	// The parent death signal belongs to a thread, so the thread that requests it
	// must also execute QEMU.
	runtime.LockOSThread()
	program, err := findQEMU(filepath.Base(args[0]))
	if err != nil {
		return err
	}
	rest := args[1:]
	if directory := machineDir(rest); directory != "" {
		if rest, err = arguments(rest); err != nil {
			return err
		}
		memory, err := memoryArguments(directory, rest)
		if err != nil {
			return err
		}
		folders, err := folderArguments(directory)
		if err != nil {
			return err
		}
		rest = slices.Concat(rest, memory, folders, balloon)
		rest = append(rest,
			"-chardev", "socket,id=char-events,path="+filepath.Join(directory, eventsSock)+",server=on,wait=off",
			"-qmp", "chardev:char-events")
		if err := redirect(filepath.Join(directory, qemuLog)); err != nil {
			return err
		}
	}
	if err := dieWithDaemon(); err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", program, syscall.Exec(program, append([]string{args[0]}, rest...), os.Environ()))
}

func findQEMU(name string) (string, error) {
	program, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find QEMU: %w", err)
	}
	resolved, err := filepath.EvalSymlinks(program)
	if err != nil {
		return "", fmt.Errorf("find QEMU: %w", err)
	}
	if self, err := os.Executable(); err == nil && self == resolved {
		return "", fmt.Errorf("%s in PATH is this program", program)
	}
	return program, nil
}

func dieWithDaemon() error {
	value := os.Getenv(envDaemon)
	if value == "" {
		return nil
	}
	daemon, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("read %s: %w", envDaemon, err)
	}
	if err := dieWithParent(); err != nil {
		return fmt.Errorf("request a signal at the end of the daemon: %w", err)
	}
	// A daemon that ended before the call above sends no signal.
	if os.Getppid() != daemon {
		return errors.New("the daemon that started this machine has ended")
	}
	return nil
}

func redirect(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open QEMU's log: %w", err)
	}
	for _, fd := range []int{1, 2} {
		if err := duplicate(int(file.Fd()), fd); err != nil {
			return fmt.Errorf("redirect to QEMU's log: %w", err)
		}
	}
	return nil
}

// balloon is the device by which the guest's kernel reports free memory, which QEMU then
// gives back to the host. Nobody inflates it.
var balloon = []string{"-device", "virtio-balloon-pci,free-page-reporting=on"}

// machineDir returns the machine's directory; empty for a QEMU that is only asked
// for its features.
func machineDir(args []string) string {
	if file := option(args, "-pidfile"); file != "" {
		return filepath.Dir(file)
	}
	return ""
}

// option returns the value of an option; empty if it is missing.
func option(args []string, name string) string {
	if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// arguments returns Lima's QEMU arguments without the devices that firmware and
// kernel would probe and no node uses, and without QEMU's own network, which would
// forward a port of the host. The guest's first serial port leads to openConsole.
func arguments(args []string) ([]string, error) {
	out := []string{"-nodefaults", "-no-user-config"}
	for i := 0; i < len(args); i++ {
		option := args[i]
		if i+1 == len(args) || strings.HasPrefix(args[i+1], "-") && option != "-append" {
			out = append(out, option)
			continue
		}
		i++
		if value := argument(option, args[i]); value != "" {
			out = append(out, option, value)
		}
	}
	for _, arg := range out {
		if strings.Contains(arg, "hostfwd") || strings.HasPrefix(arg, "user,") {
			return nil, fmt.Errorf("QEMU would open a port on the host: %s", arg)
		}
	}
	return out, nil
}

// argument returns the value for an option; empty to leave the option out.
func argument(option, value string) string {
	switch option {
	case "-netdev":
		if strings.HasPrefix(value, "user,id=net0,") {
			return ""
		}
	case "-device":
		for _, unused := range []string{"qemu-xhci,", "virtio-serial-pci,", "virtconsole,", "pci-serial,"} {
			if strings.HasPrefix(value, unused) {
				return ""
			}
		}
		if strings.Contains(value, "netdev=net0,") {
			return ""
		}
	case "-drive":
		// The kernel is booted directly, without firmware: see emptyFirmware.
		if strings.HasPrefix(value, "if=pflash,") {
			return ""
		}
		// QEMU must not guess the format from what a guest wrote.
		if !strings.Contains(value, "format=") {
			return value + ",format=qcow2"
		}
	case "-chardev":
		return chardev(value)
	case "-boot":
		return ""
	}
	return value
}

func chardev(value string) string {
	if !strings.Contains(value, "id=char-serial,") {
		if strings.Contains(value, "id=char-serial-") {
			return ""
		}
		return value
	}
	_, log, found := strings.Cut(value, "logfile=")
	if !found {
		return value
	}
	// QEMU connects to the socket that openConsole listens at.
	return "socket,id=char-serial,path=" + filepath.Join(filepath.Dir(log), consoleSock)
}
