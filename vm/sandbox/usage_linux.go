package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// memoryMiB returns the memory that a machine's programs use and that is not page
// cache, 0 if unknown.
func (g groups) memoryMiB(name string) int {
	for _, h := range g.hierarchies {
		content, err := os.ReadFile(filepath.Join(h.mount, g.name, name, "memory.stat"))
		if err != nil {
			continue
		}
		sum := 0
		for line := range strings.Lines(string(content)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			wanted := []string{"anon", "file_mapped"}
			if !h.second() {
				wanted = []string{"total_rss", "total_mapped_file"}
			}
			if slices.Contains(wanted, key) {
				bytes, _ := strconv.Atoi(value)
				sum += bytes
			}
		}
		return sum >> 20
	}
	return 0
}

// cpu returns the CPU time of a machine's programs since its groups were created,
// 0 if unknown.
func (g groups) cpu(name string) time.Duration {
	for _, h := range g.hierarchies {
		dir := filepath.Join(h.mount, g.name, name)
		if content, err := os.ReadFile(filepath.Join(dir, "cpuacct.usage")); err == nil {
			nanoseconds, _ := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
			return time.Duration(nanoseconds)
		}
		content, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(content)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "usage_usec "); ok {
				microseconds, _ := strconv.ParseInt(value, 10, 64)
				return time.Duration(microseconds) * time.Microsecond
			}
		}
	}
	return 0
}
