package idle

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mapping is a range of the process's address space.
type mapping struct {
	start, end uintptr
	writable   bool
	// anonymousKiB is the part that no longer has a file behind it.
	anonymousKiB int
	path         string
}

// unmapProgram releases the resident pages of the program's own file. A start
// touches most of them only once. The kernel maps again what is needed later and
// can use the rest of the memory for something else. Nothing is lost: only
// read-only mappings whose content equals the file's are released.
func unmapProgram() error {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("read the program's mappings: %w", err)
	}
	defer f.Close()
	all, err := mappings(f)
	if err != nil {
		return err
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("read the program's mappings: %w", err)
	}
	var errs []error
	for _, m := range all {
		if m.path != program || m.writable || m.anonymousKiB > 0 {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED); errno != 0 {
			errs = append(errs, fmt.Errorf("release the pages of %s: %w", m.path, errno))
		}
	}
	return errors.Join(errs...)
}

// mappings parses a /proc/PID/smaps (proc_pid_smaps(5)).
func mappings(smaps io.Reader) ([]mapping, error) {
	var list []mapping
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if !strings.HasSuffix(fields[0], ":") {
			m, err := parseMapping(lines.Text())
			if err != nil {
				return nil, err
			}
			list = append(list, m)
			continue
		}
		if fields[0] != "Anonymous:" {
			continue
		}
		if len(list) == 0 || len(fields) < 2 {
			return nil, fmt.Errorf("read the program's mappings: %q", lines.Text())
		}
		var err error
		if list[len(list)-1].anonymousKiB, err = strconv.Atoi(fields[1]); err != nil {
			return nil, fmt.Errorf("read the program's mappings: %w", err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the program's mappings: %w", err)
	}
	return list, nil
}

// parseMapping parses the first line of a mapping: range, permissions, offset,
// device, inode, and a path that may contain spaces.
func parseMapping(line string) (mapping, error) {
	const beforePath = 5
	fields := strings.Fields(line)
	if len(fields) < beforePath {
		return mapping{}, fmt.Errorf("read the program's mappings: %q", line)
	}
	first, last, _ := strings.Cut(fields[0], "-")
	start, err := strconv.ParseUint(first, 16, strconv.IntSize)
	if err != nil {
		return mapping{}, fmt.Errorf("read the program's mappings: %w", err)
	}
	end, err := strconv.ParseUint(last, 16, strconv.IntSize)
	if err != nil || end < start {
		return mapping{}, fmt.Errorf("read the program's mappings: %q", line)
	}
	m := mapping{start: uintptr(start), end: uintptr(end), writable: strings.Contains(fields[1], "w")}
	if at := strings.IndexByte(line, '/'); at >= 0 {
		m.path = line[at:]
	}
	return m, nil
}
