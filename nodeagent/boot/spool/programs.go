package spool

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// Logs of programs are not rotated by renaming: they are copied to NAME.log.1 and
// truncated (package program). The copy has the same offsets, so it gets the ID that
// the log had, and the log a new one.

const copySuffix = ".log.1"

// isProgram reports whether a file in the directory of programs is the log of one, or
// a copy, rather than one that is rotated by renaming.
func isProgram(name string) bool {
	return !strings.HasPrefix(name, "audit.") && !strings.HasPrefix(name, "audit-") && !strings.HasPrefix(name, kernelLog)
}

// live returns the ID of what is in the log of a program now. The time at which the file
// was made tells logs of different disks and boots apart.
func (s *Spool) live(program, name string) string {
	log := nodeapi.LogSourceProgram + "/" + program
	made := born(name)
	for _, f := range s.order {
		if f.log() == log && f.stamp > made {
			made = f.stamp // when its last copy was found
		}
	}
	return log + "@" + strconv.FormatInt(made, 36)
}

// born returns when a file was made, in nanoseconds since 1970; 0 if the file system does
// not know.
func born(name string) int64 {
	var info unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &info); err != nil || info.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return info.Btime.Sec*int64(time.Second) + int64(info.Btime.Nsec)
}

// logOf returns the log of the file with the given ID.
func logOf(id string) string {
	log, _, _ := strings.Cut(id, "@")
	return log
}

// programs returns the logs of programs by ID. A log that is just being rotated is left
// out: it may not be truncated yet.
func (s *Spool) programs() map[string]string {
	found := map[string]string{}
	for _, dir := range []string{s.config.RunDir, filepath.Join(s.config.Dir, s.config.Programs)} {
		names, err := filepath.Glob(filepath.Join(dir, "*.log"))
		if err != nil || dir == "" {
			continue
		}
		for _, name := range names {
			program := strings.TrimSuffix(filepath.Base(name), ".log")
			if !isProgram(filepath.Base(name)) {
				continue
			}
			if info, err := os.Lstat(name + ".1"); err == nil && dir != s.config.RunDir && s.inodes[inode(info)] == nil {
				continue
			}
			found[s.live(program, name)] = name
		}
	}
	return found
}

// programPart returns what is new in the log of a program. One that became shorter
// begins again.
func programPart(id, name string, read int64) (part, bool) {
	info, err := os.Lstat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() == read {
		return part{}, false
	}
	if info.Size() < read {
		read = 0
	}
	program := strings.TrimPrefix(logOf(id), nodeapi.LogSourceProgram+"/")
	chunk := nodeapi.LogChunk{File: id, Source: nodeapi.LogSourceProgram, Path: program, Offset: read}
	return part{chunk, name, info.Size() - read}, true
}

// copies returns copies of logs that were made a while ago: before, the log may not be
// truncated yet.
func (s *Spool) copies(names []string, now time.Time) []candidate {
	var found []candidate
	for _, name := range names {
		program, ok := strings.CutSuffix(name, copySuffix)
		if !ok || !isProgram(name) {
			continue
		}
		info, err := os.Lstat(filepath.Join(s.config.Dir, s.config.Programs, name))
		if err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) >= settle && s.inodes[inode(info)] == nil {
			found = append(found, candidate{nodeapi.LogSourceProgram, program, filepath.Join(s.config.Programs, name), inode(info)})
		}
	}
	return found
}
