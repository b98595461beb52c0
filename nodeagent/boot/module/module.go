// Package module loads kernel modules after their dependencies, and each only once.
package module

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// maxLine bounds a line of modules.dep; the longest of a distribution kernel
// is about 2 KiB.
const maxLine = 64 << 10

// Index has the files and dependencies of modules, as in modules.dep(5).
type Index struct {
	files map[string]string   // file by module name
	deps  map[string][]string // files that a module depends on, by module name, nearest first
}

// Parse reads modules.dep. It fails for a line without a colon.
func Parse(r io.Reader) (*Index, error) {
	x := &Index{files: map[string]string{}, deps: map[string][]string{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		file, needs, ok := strings.Cut(line, ":")
		name := Name(file)
		if !ok || file == "" || name == "" {
			return nil, fmt.Errorf("modules.dep: invalid line %q", line)
		}
		x.files[name] = file
		x.deps[name] = strings.Fields(needs)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("modules.dep: %w", err)
	}
	return x, nil
}

// Name returns the kernel's name of a module file: its base name without ".ko" and
// with underscores instead of dashes.
func Name(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// Order returns the files to load for name, with the module itself last, and whether
// the index has it. modules.dep lists a module's dependencies with the innermost
// last, so the reverse is a valid order.
func (x *Index) Order(name string) ([]string, bool) {
	name = Name(name)
	file, ok := x.files[name]
	if !ok {
		return nil, false
	}
	order := slices.Clone(x.deps[name])
	slices.Reverse(order)
	return append(order, file), true
}

// Loader loads modules from a directory. It may be used by several goroutines.
type Loader struct {
	dir   string
	index *Index

	mu     sync.Mutex // guards loaded
	loaded map[string]*sync.Once
}

// NewLoader reads modules.dep in dir, the modules' directory of a kernel
// release.
func NewLoader(dir string) (*Loader, error) {
	f, err := os.Open(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	index, err := Parse(f)
	if err != nil {
		return nil, err
	}
	return &Loader{dir: dir, index: index, loaded: map[string]*sync.Once{}}, nil
}

// Load loads the named modules one after the other, and continues after a failure. A
// name that is not in the index is skipped: the module is built into the kernel or
// does not exist for this architecture.
func (l *Loader) Load(names ...string) error {
	var errs []error
	for _, name := range names {
		files, _ := l.index.Order(name)
		for _, file := range files {
			if err := l.once(file); err != nil {
				errs = append(errs, fmt.Errorf("load module %s: %w", Name(file), err))
			}
		}
	}
	return errors.Join(errs...)
}

func (l *Loader) once(file string) (err error) {
	l.mu.Lock()
	once := l.loaded[file]
	if once == nil {
		once = new(sync.Once)
		l.loaded[file] = once
	}
	l.mu.Unlock()
	once.Do(func() { err = Insert(filepath.Join(l.dir, file)) })
	return err
}

// Insert loads a module file into the kernel (finit_module(2)). If the module is
// already loaded, Insert returns nil.
func Insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}
