package spool

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// candidate is a log file that was found.
type candidate struct {
	source string
	path   string // of the log: the same for all files of a rotation
	name   string // of the file, in Config.Dir
	inode  uint64
}

// dir is a directory as it was read last.
type dir struct {
	changed time.Time // modification time
	read    time.Time
	names   []string
}

// quiet is how long a directory must not have changed for its content to be trusted:
// two changes within the clock's granularity have the same time.
const quiet = time.Second

// list returns the names in a directory, sorted. It reads the directory only if it has
// changed.
func (s *Spool) list(name string) []string {
	full := filepath.Join(s.config.Dir, name)
	info, err := os.Lstat(full)
	if err != nil || !info.IsDir() {
		delete(s.dirs, name)
		return nil
	}
	have, known := s.dirs[name]
	if known && have.changed.Equal(info.ModTime()) && have.read.Sub(have.changed) > quiet {
		return have.names
	}
	entries, err := os.ReadDir(full)
	if err != nil {
		return nil
	}
	have = dir{changed: info.ModTime(), read: time.Now()}
	for _, entry := range entries {
		have.names = append(have.names, entry.Name())
	}
	s.dirs[name] = have
	return have.names
}

// find returns all log files that are not kept yet, those of one log in the order in
// which they were written.
func (s *Spool) find(now time.Time) []candidate {
	var found []candidate
	add := func(source, logPath, name string) {
		info, err := os.Lstat(filepath.Join(s.config.Dir, name))
		if err == nil && info.Mode().IsRegular() && s.inodes[inode(info)] == nil {
			found = append(found, candidate{source, logPath, name, inode(info)})
		}
	}
	pods := s.list(s.config.Pods)
	for _, pod := range pods {
		for _, container := range s.list(path.Join(s.config.Pods, pod)) {
			folder := path.Join(pod, container)
			names := slices.Clone(s.list(path.Join(s.config.Pods, folder)))
			slices.SortStableFunc(names, func(a, b string) int { return age(a) - age(b) })
			for _, name := range names {
				if log, ok := containerLog(name); ok {
					add(nodeapi.LogSourceContainer, path.Join(folder, log), path.Join(s.config.Pods, folder, name))
				}
			}
		}
	}
	s.forgetDirs()
	programs := s.list(s.config.Programs)
	found = append(found, s.copies(programs, now)...)
	for _, name := range programs {
		if strings.HasPrefix(name, "audit-") && strings.HasSuffix(name, ".log") {
			add(nodeapi.LogSourceAudit, "audit", path.Join(s.config.Programs, name))
		}
	}
	for _, log := range []candidate{
		{source: nodeapi.LogSourceAudit, path: "audit", name: "audit.log"},
		{source: nodeapi.LogSourceKernel, path: "kernel", name: kernelLog + ".1"},
		{source: nodeapi.LogSourceKernel, path: "kernel", name: kernelLog},
	} {
		add(log.source, log.path, path.Join(s.config.Programs, log.name))
	}
	return found
}

// forgetDirs forgets directories that do not exist any more once there are many.
func (s *Spool) forgetDirs() {
	if len(s.dirs) < maxFiles {
		return
	}
	for name := range s.dirs {
		if _, err := os.Lstat(filepath.Join(s.config.Dir, name)); err != nil {
			delete(s.dirs, name)
		}
	}
}

// age sorts rotated files, "0.log.20261129-100000", before the current one.
func age(name string) int {
	if strings.HasSuffix(name, ".log") {
		return 1
	}
	return 0
}

// containerLog returns the name of a log, "0.log", by that of one of its files. Files
// that were compressed are linked already.
func containerLog(name string) (string, bool) {
	number, rotated, ok := strings.Cut(name, ".log")
	if !ok || number == "" || strings.Trim(number, "0123456789") != "" {
		return "", false
	}
	if rotated != "" && strings.Trim(rotated, "0123456789-.") != "" {
		return "", false
	}
	return number + ".log", true
}

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

func links(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Nlink) }

// countLines returns how many lines a file has from an offset.
func countLines(name string, offset int64) int64 {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close()
	var lines int64
	buf := make([]byte, 64<<10)
	for reader := io.NewSectionReader(f, offset, 1<<62); ; {
		n, err := reader.Read(buf)
		lines += int64(bytes.Count(buf[:n], []byte("\n")))
		if err != nil {
			return lines
		}
	}
}
