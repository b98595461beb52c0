package lima

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lima-vm/lima/v2/pkg/limatype"
	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"
	"k8s.io/apimachinery/pkg/util/wait"
)

// killLimit is how long a killed machine may take to exit.
const killLimit = 5 * time.Second

// EndStray kills QEMU processes of machines below dir whose daemon is dead. The
// caller holds the cluster's lock.
func EndStray(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*", filenames.PIDFile(limatype.QEMU)))
	if err != nil {
		return fmt.Errorf("find machines of a dead daemon: %w", err)
	}
	for _, file := range files {
		pid, err := readPID(file)
		if err != nil {
			continue
		}
		if err := endStray(pid, filepath.Dir(file)); err != nil {
			return err
		}
		if err := remove(file); err != nil {
			return fmt.Errorf("remove %s: %w", file, err)
		}
	}
	return nil
}

// endStray kills the process if its command line names the machine's directory: the
// process ID may belong to another program by now.
func endStray(pid int, dir string) error {
	ours := func() bool {
		return bytes.Contains(commandLine(pid), []byte(filepath.Join(dir, filenames.PIDFile(limatype.QEMU))))
	}
	if !ours() {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the machine in process %d: %w", pid, err)
	}
	err := wait.PollUntilContextTimeout(context.Background(), 10*time.Millisecond, killLimit, true,
		func(context.Context) (bool, error) { return !ours(), nil })
	if err != nil {
		return fmt.Errorf("process %d, a machine of a dead daemon, does not exit: %w", pid, err)
	}
	return nil
}

func readPID(file string) (int, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s does not contain a process ID", file)
	}
	return pid, nil
}
