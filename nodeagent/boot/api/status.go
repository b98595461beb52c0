package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/meminfo"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	status, err := s.Status()
	if err == nil {
		err = s.measure(&status)
	}
	if err == nil {
		status.Alarms, err = alarms(s.AlarmsDir)
		status.Alarms = append(s.controlPlaneAlarms(r.Context()), status.Alarms...)
		status.Certificates, status.Trust = s.certificates()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(status); err != nil {
		s.Log.Debug("send status", "error", err)
	}
}

// measure adds what the kernel reports.
func (s *Server) measure(status *nodeapi.Status) error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	status.BootID = strings.TrimSpace(string(boot))
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return fmt.Errorf("uptime: %w", err)
	}
	status.UptimeSeconds = time.Duration(up.Nano()).Seconds()
	status.Time = time.Now()
	memory, err := meminfo.Read()
	if err != nil {
		return err
	}
	status.MemoryTotalKiB, status.MemoryAvailableKiB = memory.TotalBytes>>10, memory.AvailableBytes>>10
	if s.MemoryUsed != nil {
		status.MemoryAvailableKiB = status.MemoryTotalKiB - s.MemoryUsed()
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(s.DataDir, &disk); err != nil {
		return fmt.Errorf("size of %s: %w", s.DataDir, err)
	}
	status.DiskTotalBytes = int64(disk.Blocks) * int64(disk.Bsize)
	status.DiskFreeBytes = int64(disk.Bavail) * int64(disk.Bsize)
	return nil
}

// maxAlarms bounds a program's messages to the user, in bytes.
const maxAlarms = 4096

// alarms returns the lines of all files in dir, in the order of their names.
func alarms(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var lines []string
	for _, file := range files {
		content, err := readStart(filepath.Join(dir, file.Name()), maxAlarms)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was just removed
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(content)) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines, nil
}

// readStart reads the first bytes of a file.
func readStart(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, limit))
}
