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
	// endGrace is how long pods and shells have after SIGTERM, once the
	// node's own programs have ended.
	endGrace = 3 * time.Second
	killTime = 5 * time.Second
)

// end stops everything else, brings the disk in order and ends the machine.
func (i *Init) end(how Power) error {
	// Errors of kill mean that nobody is left to kill.
	_ = unix.Kill(-1, unix.SIGTERM)
	if !i.reaper.WaitAll(endGrace) {
		_ = unix.Kill(-1, unix.SIGKILL)
		if !i.reaper.WaitAll(killTime) {
			i.journal.say("programs that cannot be killed are left")
		}
	}
	i.journal.close()
	unix.Sync()
	if err := unmountAll(); err != nil {
		i.journal.say(err.Error())
	}
	command := unix.LINUX_REBOOT_CMD_POWER_OFF
	if how == PowerRestart {
		command = unix.LINUX_REBOOT_CMD_RESTART
	}
	return fmt.Errorf("end the machine: %w", unix.Reboot(command))
}

// unmountAll unmounts what holds the node's disk, innermost first, so that it
// is clean at the next boot.
func unmountAll() error {
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
	if len(errs) > 0 {
		// A journal that must be replayed is all that is left to do then.
		errs = append(errs, unix.Mount("", dataDir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
	return errors.Join(errs...)
}

// holdsDisk says whether a mount may be on the node's disk: the system's own
// stay to the end.
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

// mountTargets are the mount points of /proc/self/mountinfo in its order
// (proc_pid_mountinfo(5)), their octal escapes undone.
func mountTargets(mountinfo string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var targets []string
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); len(fields) > 4 {
			targets = append(targets, unescape.Replace(fields[4]))
		}
	}
	return targets
}
