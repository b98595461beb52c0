// Package spool keeps the log files of a node until the host has stored them. A file
// that somebody else deletes or rotates stays readable through a hard link, within
// bounds; what had to be deleted before is counted. Nothing is sent by itself: the
// host asks for what follows the offsets that it has.
package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

const (
	// DefaultLimit is how many bytes of deleted files are kept.
	DefaultLimit = 256 << 20
	// maxFiles bounds how many files are kept, deleted or not. If there are as many, the
	// oldest deleted ones make room.
	maxFiles = 8192
	// scanEvery is how often directories are checked for files, and files for lines.
	scanEvery = 500 * time.Millisecond
	// settle is how long after its end a file may still get bytes: a runtime opens the
	// new file of a rotation first.
	settle = 2 * time.Second
	// unaskedScans is the number of scans in an hour. If the host has not asked for that
	// long, because nothing is recorded, deleted files are not kept, and only one scan in
	// rareScan looks for them. Scans are counted because clocks jump, and a paused node has
	// none.
	unaskedScans = int(time.Hour / scanEvery)
	rareScan     = 20
	// droppedFile counts what was deleted before the host had stored it.
	droppedFile = "dropped.json"
)

// Config of a Spool.
type Config struct {
	// Dir has the directories of logs, all on one file system: /var/log.
	Dir string
	// Pods, Programs and Kept are names in Dir: where kubelets and programs write, and
	// where the links are, which is created.
	Pods, Programs, Kept string
	// RunDir has logs of programs that start before Dir is mounted; they are never
	// rotated away.
	RunDir string
	// Limit is how many bytes of deleted files are kept; DefaultLimit if 0.
	Limit int64
	Log   *slog.Logger
}

// Spool is the log files of a node. Its methods may be called concurrently.
type Spool struct {
	config Config

	mu      sync.Mutex // guards the fields below
	files   map[string]*file
	inodes  map[uint64]*file
	order   []*file // by age
	dirs    map[string]dir
	stamp   int64 // of the youngest file
	turn    int   // of requests
	unasked int   // scans since the last request
	dropped nodeapi.LogsDropped
	opened  bool
	scanned chan struct{} // closed by the next scan
}

// file is a log file that is kept through a link.
type file struct {
	id, source, path string
	link             string // full path
	stamp            int64
	inode            uint64
	size             int64
	alone            bool      // nobody else has the file
	ended            time.Time // since when it should not grow
	final            bool      // it will not grow
	stored           int64
}

// log names what the file is a part of.
func (f *file) log() string { return f.source + "/" + f.path }

// linkName returns the name of the link, from which parse reads the ID and the age.
func (f *file) linkName() string { return f.id + "~" + strconv.FormatInt(f.stamp, 36) }

// parse is the inverse of linkName.
func parse(name string) (*file, bool) {
	id, age, aged := strings.Cut(name, "~")
	log, _, numbered := strings.Cut(id, "@")
	source, logPath, nested := strings.Cut(log, "/")
	stamp, err := strconv.ParseInt(age, 36, 64)
	return &file{id: id, source: source, path: logPath, stamp: stamp}, aged && numbered && nested && err == nil
}

// New returns a Spool. It does nothing until Run or Scan is called.
func New(config Config) *Spool {
	if config.Limit == 0 {
		config.Limit = DefaultLimit
	}
	return &Spool{
		config: config, files: map[string]*file{}, inodes: map[uint64]*file{}, dirs: map[string]dir{},
		scanned: make(chan struct{}),
	}
}

// Run looks for files until ctx ends. Dir may appear later.
func (s *Spool) Run(ctx context.Context) error {
	warned := ""
	for {
		err := s.Scan(time.Now())
		if err != nil && err.Error() != warned {
			warned = err.Error()
			s.config.Log.Warn("keep log files", "error", err)
		}
		if pause.For(ctx, scanEvery) != nil {
			return nil
		}
	}
}

// Scan links new files, notes the size of all, and removes those that are not needed
// or exceed the limit.
func (s *Spool) Scan(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		close(s.scanned)
		s.scanned = make(chan struct{})
	}()
	if s.unasked++; !s.wanted() && s.unasked%rareScan != 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(s.config.Dir, s.config.Pods)); errors.Is(err, fs.ErrNotExist) {
		return nil // not mounted yet
	}
	if !s.opened {
		if err := s.open(); err != nil {
			return err
		}
		s.opened = true
	}
	root, err := os.OpenRoot(s.config.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var failed []error
	if s.wanted() {
		for _, found := range s.find(now) {
			failed = append(failed, s.keep(root, found, now))
		}
	}
	failed = append(failed, s.measure(now), s.limit())
	return errors.Join(failed...)
}

// wanted reports whether the host asks for logs.
func (s *Spool) wanted() bool { return s.unasked <= unaskedScans }

// open reads what an earlier process kept.
func (s *Spool) open() error {
	kept := filepath.Join(s.config.Dir, s.config.Kept)
	if err := os.MkdirAll(kept, 0o700); err != nil {
		return err
	}
	if text, err := os.ReadFile(filepath.Join(kept, droppedFile)); err == nil {
		_ = json.Unmarshal(text, &s.dropped) // a count that cannot be read begins again
	}
	err := filepath.WalkDir(kept, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		relative, err := filepath.Rel(kept, name)
		if err != nil {
			return err
		}
		f, ok := parse(relative)
		info, err := entry.Info()
		if err != nil || !ok {
			return err
		}
		f.link, f.inode, f.size = name, inode(info), info.Size()
		s.add(f)
		return nil
	})
	slices.SortFunc(s.order, func(a, b *file) int { return int(a.stamp - b.stamp) })
	return err
}

func (s *Spool) add(f *file) {
	s.files[f.id], s.inodes[f.inode] = f, f
	s.order = append(s.order, f)
	s.stamp = max(s.stamp, f.stamp)
}

// keep links a file that was found. Through root, a link in a directory of pods leads
// to nothing outside of it.
func (s *Spool) keep(root *os.Root, found candidate, now time.Time) error {
	if s.inodes[found.inode] != nil {
		return nil
	}
	if len(s.order) >= maxFiles {
		return fmt.Errorf("there are more than %d log files", maxFiles)
	}
	f := &file{source: found.source, path: found.path, stamp: max(now.UnixNano(), s.stamp+1), inode: found.inode}
	if f.id = f.log() + "@" + strconv.FormatInt(f.stamp, 36); f.source == nodeapi.LogSourceProgram {
		// A copy has the ID that the log had.
		f.id = s.live(f.path, filepath.Join(s.config.Dir, s.config.Programs, f.path+".log"))
	}
	to := path.Join(s.config.Kept, f.linkName())
	if err := root.MkdirAll(path.Dir(to), 0o700); err != nil {
		return err
	}
	if err := root.Link(found.name, to); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was deleted meanwhile
		}
		return err
	}
	f.link = filepath.Join(s.config.Dir, to)
	info, err := os.Lstat(f.link)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || inode(info) != f.inode {
		return os.Remove(f.link) // it was replaced meanwhile, and is found again
	}
	f.size = info.Size()
	s.add(f)
	return nil
}

// measure notes how large files are and which have ended, and removes those that the
// host has and nobody else.
func (s *Spool) measure(now time.Time) error {
	last := map[string]*file{}
	for _, f := range s.order {
		last[f.log()] = f
	}
	var failed []error
	s.order = slices.DeleteFunc(s.order, func(f *file) bool {
		info, err := os.Lstat(f.link)
		if err != nil {
			s.forget(f)
			return true
		}
		if f.size != info.Size() {
			f.size, f.ended = info.Size(), time.Time{}
		}
		f.alone = links(info) == 1
		switch {
		case !f.alone && last[f.log()] == f:
			f.ended = time.Time{}
		case f.ended.IsZero():
			f.ended = now
		}
		// The copy of a program's log was made a while ago.
		f.final = !f.ended.IsZero() && now.Sub(f.ended) >= settle || f.source == nodeapi.LogSourceProgram
		if f.alone && f.stored >= f.size && f.final {
			failed = append(failed, s.remove(f))
			return true
		}
		return false
	})
	return errors.Join(failed...)
}

// limit removes the oldest deleted files while there are too many bytes of them, or too
// many files.
func (s *Spool) limit() error {
	most, files := maxFiles, len(s.order)
	if files >= maxFiles {
		most -= maxFiles / 8
	}
	bytes := s.config.Limit
	if !s.wanted() {
		bytes = 0
	}
	var total int64
	for _, f := range s.order {
		if f.alone {
			total += f.size
		}
	}
	before := s.dropped
	var failed []error
	s.order = slices.DeleteFunc(s.order, func(f *file) bool {
		if !f.alone || total <= bytes && files <= most {
			return false
		}
		total, files = total-f.size, files-1
		if f.stored < f.size && s.wanted() {
			s.dropped.Files++
			s.dropped.Bytes += f.size - f.stored
			s.dropped.Lines += countLines(f.link, f.stored)
		}
		failed = append(failed, s.remove(f))
		return true
	})
	if s.dropped != before {
		text, err := json.Marshal(s.dropped)
		if err == nil {
			err = atomicfile.Write(filepath.Join(s.config.Dir, s.config.Kept, droppedFile), text, 0o600)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// remove deletes a link, and directories that are empty then.
func (s *Spool) remove(f *file) error {
	s.forget(f)
	if err := os.Remove(f.link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	kept := filepath.Join(s.config.Dir, s.config.Kept)
	for dir := filepath.Dir(f.link); dir != kept && os.Remove(dir) == nil; dir = filepath.Dir(dir) {
		continue
	}
	return nil
}

func (s *Spool) forget(f *file) {
	delete(s.files, f.id)
	if s.inodes[f.inode] == f {
		delete(s.inodes, f.inode)
	}
}
