package spool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/boundedlog"
	"github.com/skiff-dev/skiff/internal/pause"
)

const (
	kernelName = "kernel"
	// kernelLog is the file that has the kernel's messages, each after its time and its
	// priority.
	kernelLog = kernelName + ".log"
	// kernelState has the last message that was written.
	kernelState = ".kernel.json"
	// maxKernelLog is how large the file grows, in bytes, before it becomes NAME.1.
	maxKernelLog = 4 << 20
	// maxRecord is the largest record of /dev/kmsg
	// (https://docs.kernel.org/ABI/testing/dev-kmsg.html).
	maxRecord = 8192
)

// kernelPosition is the last message that was written.
type kernelPosition struct {
	Boot     string `json:"boot"`
	Sequence uint64 `json:"sequence"`
}

// Kernel writes the kernel's messages to a log until ctx ends, each once.
func (s *Spool) Kernel(ctx context.Context) error {
	dir := filepath.Join(s.config.Dir, s.config.Programs)
	for {
		if _, err := os.Stat(dir); err == nil {
			break
		}
		if pause.For(ctx, scanEvery) != nil {
			return nil
		}
	}
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/kmsg: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	log, err := boundedlog.Open(filepath.Join(dir, kernelLog), maxKernelLog)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	state := filepath.Join(dir, kernelState)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	var last kernelPosition
	if text, err := os.ReadFile(state); err == nil {
		_ = json.Unmarshal(text, &last) // if it is damaged, messages are written again
	}
	if id := strings.TrimSpace(string(boot)); last.Boot != id {
		last = kernelPosition{Boot: id}
	}
	for {
		lines, err := readKernel(fd, &last, time.Now())
		if err != nil {
			return err
		}
		if len(lines) > 0 {
			text, err := json.Marshal(last)
			if err == nil {
				_, err = log.Write(lines)
			}
			if err == nil {
				err = atomicfile.Write(state, text, 0o600)
			}
			if err != nil {
				return err
			}
		}
		if pause.For(ctx, scanEvery) != nil {
			return nil
		}
	}
}

// readKernel returns the lines of the messages that follow the last one.
func readKernel(fd int, last *kernelPosition, now time.Time) ([]byte, error) {
	var up unix.Timespec
	// The stamps of messages leave out suspension.
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		return nil, err
	}
	begun := now.Add(-time.Duration(up.Nano()))
	var lines bytes.Buffer
	record := make([]byte, maxRecord)
	for lines.Len() < maxKernelLog/4 {
		n, err := unix.Read(fd, record)
		switch {
		case errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR):
			continue // messages were overwritten before they were read
		case errors.Is(err, unix.EAGAIN):
			return lines.Bytes(), nil
		case err != nil:
			return nil, fmt.Errorf("/dev/kmsg: %w", err)
		}
		m, ok := parseRecord(record[:n])
		if !ok || m.sequence+1 <= last.Sequence {
			continue
		}
		last.Sequence = m.sequence + 1
		fmt.Fprintf(&lines, "%s %d %s\n", begun.Add(m.at).UTC().Format(time.RFC3339Nano), m.priority, m.text)
	}
	return lines.Bytes(), nil
}

// message is a message of the kernel.
type message struct {
	priority int // 0 (emergency) to 7 (debug)
	sequence uint64
	at       time.Duration // since the kernel started
	text     string
}

// parseRecord parses a record of /dev/kmsg,
// "priority,sequence,microseconds,flags;text\n key=value…".
func parseRecord(record []byte) (message, bool) {
	head, text, ok := strings.Cut(string(record), ";")
	fields := strings.SplitN(head, ",", 4)
	if !ok || len(fields) < 3 {
		return message{}, false
	}
	priority, err1 := strconv.Atoi(fields[0])
	sequence, err2 := strconv.ParseUint(fields[1], 10, 62)
	micros, err3 := strconv.ParseInt(fields[2], 10, 52)
	if errors.Join(err1, err2, err3) != nil || priority < 0 || micros < 0 {
		return message{}, false
	}
	text, _, _ = strings.Cut(text, "\n")
	return message{priority: priority & 7, sequence: sequence, at: time.Duration(micros) * time.Microsecond, text: text}, true
}
