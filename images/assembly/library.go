package assembly

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// picker copies chosen files from a tree of unpacked packages to the root, together
// with the targets of links and the shared libraries that programs need.
type picker struct {
	from, to string
	taken    map[string]bool
	// libraries maps the file name that programs ask for to a path below from.
	libraries map[string]string
}

func newPicker(from, to string) (*picker, error) {
	p := &picker{from: from, to: to, taken: map[string]bool{}, libraries: map[string]string{}}
	err := filepath.WalkDir(filepath.Join(from, "usr"), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(entry.Name(), ".so") {
			return err
		}
		rel, err := filepath.Rel(from, file)
		p.libraries[entry.Name()] = rel
		return err
	})
	return p, err
}

// pick copies the files that match a pattern of path.Match, or everything below a
// path that ends in a slash. A pattern without a match is an error.
func (p *picker) pick(pattern string) error {
	var names []string
	if below, ok := strings.CutSuffix(mergeUsr(pattern), "/"); ok {
		err := filepath.WalkDir(filepath.Join(p.from, below), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			names = append(names, file)
			return nil
		})
		if err != nil {
			return err
		}
	} else {
		found, err := filepath.Glob(filepath.Join(p.from, mergeUsr(pattern)))
		if err != nil {
			return err
		}
		names = found
	}
	if len(names) == 0 {
		return fmt.Errorf("no package contains %s", pattern)
	}
	for _, name := range names {
		rel, err := filepath.Rel(p.from, name)
		if err != nil {
			return err
		}
		if err := p.take(rel); err != nil {
			return err
		}
	}
	return nil
}

// take copies one file and what it depends on.
func (p *picker) take(name string) error {
	if p.taken[name] {
		return nil
	}
	p.taken[name] = true
	source, target := filepath.Join(p.from, name), filepath.Join(p.to, name)
	info, err := os.Lstat(source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		link, err := os.Readlink(source)
		if err != nil {
			return err
		}
		if err := os.Symlink(link, target); err != nil {
			return err
		}
		return p.take(resolveLink(name, link))
	}
	if err := copyFile(target, source, info.Mode().Perm()); err != nil {
		return err
	}
	return p.libraryOf(source)
}

// resolveLink returns the target of a link as a path below the root.
func resolveLink(name, link string) string {
	if !path.IsAbs(link) {
		link = path.Join("/", path.Dir(name), link)
	}
	return mergeUsr(strings.TrimPrefix(path.Clean(link), "/"))
}

// libraryOf copies the interpreter and the libraries of an ELF file.
func (p *picker) libraryOf(file string) error {
	f, err := elf.Open(file)
	var notELF *elf.FormatError
	if errors.As(err, &notELF) || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return nil // too short for an ELF header
	}
	defer f.Close()
	needs, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, program := range f.Progs {
		if program.Type == elf.PT_INTERP {
			text := make([]byte, program.Filesz)
			if _, err := program.ReadAt(text, 0); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			interpreter := strings.TrimRight(string(text), "\x00")
			if err := p.take(resolveLink("", interpreter)); err != nil {
				return err
			}
		}
	}
	for _, need := range needs {
		library, ok := p.libraries[need]
		if !ok {
			return fmt.Errorf("%s needs the library %s, which no package contains", file, need)
		}
		if err := p.take(library); err != nil {
			return err
		}
	}
	return nil
}

// names returns all copied paths, sorted.
func (p *picker) names() []string {
	var names []string
	for name := range p.taken {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
