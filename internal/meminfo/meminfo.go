// Package meminfo reads the machine's memory from /proc/meminfo, which in a
// sandbox shows the node's own limit; sysinfo(2) does not.
package meminfo

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// maxBytes bounds the file; the kernel's is about 1.5 KiB.
const maxBytes = 64 << 10

// Info is the part of /proc/meminfo that Skiff uses (proc_meminfo(5)).
type Info struct {
	TotalBytes     int64
	AvailableBytes int64
}

// Read reads /proc/meminfo.
func Read() (Info, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return Info{}, fmt.Errorf("read the machine's memory: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := Parse(f)
	if err != nil {
		return Info{}, fmt.Errorf("read the machine's memory: %w", err)
	}
	return info, nil
}

// Parse reads the text of a /proc/meminfo. The total must be there and positive;
// the available memory is zero on kernels that do not report it.
func Parse(text io.Reader) (Info, error) {
	var info Info
	lines := bufio.NewScanner(io.LimitReader(text, maxBytes))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		var err error
		switch name {
		case "MemTotal":
			info.TotalBytes, err = parseKiB(value)
		case "MemAvailable":
			info.AvailableBytes, err = parseKiB(value)
		}
		if err != nil {
			return Info{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := lines.Err(); err != nil {
		return Info{}, err
	}
	if info.TotalBytes == 0 {
		return Info{}, errors.New("MemTotal is missing or zero")
	}
	return info, nil
}

func parseKiB(value string) (bytes int64, err error) {
	number := strings.TrimSuffix(strings.TrimSpace(value), " kB")
	kib, err := strconv.ParseInt(number, 10, 64)
	if err != nil || kib < 0 || kib > 1<<50 {
		return 0, fmt.Errorf("invalid size %q", strings.TrimSpace(value))
	}
	return kib << 10, nil
}
