package boot

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// endGrace is how long pods and shells have after SIGTERM, once the node's own
	// programs have exited.
	endGrace = 3 * time.Second
	killTime = 5 * time.Second
)

// end stops all processes, unmounts the disk and ends the machine.
func (i *Init) end(how Power) error {
	// An error of kill means that no process is left.
	_ = unix.Kill(-1, unix.SIGTERM)
	if !i.reaper.WaitAll(endGrace) {
		_ = unix.Kill(-1, unix.SIGKILL)
		if !i.reaper.WaitAll(killTime) {
			i.journal.say("some programs cannot be killed")
		}
	}
	i.journal.close()
	unix.Sync()
	if err := unmountAll(i.sandboxed); err != nil {
		i.journal.say(err.Error())
	}
	command := unix.LINUX_REBOOT_CMD_POWER_OFF
	if how == PowerRestart {
		command = unix.LINUX_REBOOT_CMD_RESTART
	}
	return fmt.Errorf("end the machine: %w", unix.Reboot(command))
}

// unmountAll unmounts what holds the node's disk, innermost first, and makes the
// disk read-only, so that it is clean at the next boot. A sandbox's disk is the
// host's and stays as it is.
func unmountAll(sandboxed bool) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	targets := mountTargets(string(text))
	slices.Reverse(targets)
	var errs []error
	for _, target := range targets {
		if !holdsDisk(target) {
			continue
		}
		if err := unix.Unmount(target, 0); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", target, err))
		}
	}
	if sandboxed {
		return errors.Join(errs...)
	}
	// The root is on the disk, too, and cannot be unmounted.
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		// The journal is replayed at the next boot.
		return errors.Join(append(errs, fmt.Errorf("make the disk read-only: %w", err))...)
	}
	return nil
}

// holdsDisk reports whether a mount may be on the node's disk. The system's own
// mounts stay to the end.
func holdsDisk(target string) bool {
	if target == "/" || target == "/etc" || target == "/run" || target == "/tmp" {
		return false
	}
	for _, system := range []string{"/proc", "/sys", "/dev"} {
		if target == system || strings.HasPrefix(target, system+"/") {
			return false
		}
	}
	return true
}

// mountTargets returns the mount points in /proc/self/mountinfo in its order
// (proc_pid_mountinfo(5)), unescaped, without those of the read-only image.
func mountTargets(mountinfo string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var targets []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) <= 4 {
			continue
		}
		separator := slices.Index(fields, "-")
		if image := separator > 0 && separator+1 < len(fields) && fields[separator+1] == "erofs"; !image {
			targets = append(targets, unescape.Replace(fields[4]))
		}
	}
	return targets
}
