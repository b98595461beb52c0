// Package module loads kernel modules after everything that they depend on,
// and each of them once.
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

// Index says where modules are and what they depend on, as modules.dep does
// (modules.dep(5)).
type Index struct {
	files map[string]string   // file by module name
	deps  map[string][]string // files a module needs, by module name, nearest first
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
			return nil, fmt.Errorf("modules.dep: no module in line %q", line)
		}
		x.files[name] = file
		x.deps[name] = strings.Fields(needs)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("modules.dep: %w", err)
	}
	return x, nil
}

// Name is the kernel's name of a module file: its base name without ".ko",
// dashes as underscores.
func Name(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// Order returns the files to load for name, the module itself last, and
// whether the index knows it. modules.dep lists all that a module needs with
// the innermost last, so backwards is an order that works.
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

// Load loads the named modules one after the other and goes on after a failure.
// A name that the index does not have is left out: it is built into the kernel
// or not of this architecture.
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

// Insert hands one module file to the kernel (finit_module(2)). A module that
// is there already is no error.
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
