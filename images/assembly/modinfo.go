package assembly

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// kernelModule is what the .modinfo section of a module's file contains.
type kernelModule struct {
	// file is relative to the release's directory: "kernel/…/NAME.ko".
	file    string
	needs   []string
	aliases []string
}

// moduleTree maps names to the modules of a kernel release.
type moduleTree map[string]kernelModule

// readModules reads the modules below dir/kernel.
func readModules(dir string) (moduleTree, error) {
	tree := moduleTree{}
	err := filepath.WalkDir(filepath.Join(dir, "kernel"), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".ko") {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		info, err := modinfo(file)
		if err != nil {
			return fmt.Errorf("%s: %w", rel, err)
		}
		module := parseModinfo(info)
		module.file = filepath.ToSlash(rel)
		tree[moduleName(rel)] = module
		return nil
	})
	if err != nil {
		return nil, err
	}
	return tree, nil
}

func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_")
}

func modinfo(file string) ([]byte, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no .modinfo section")
	}
	return section.Data()
}

// parseModinfo reads "key=value" strings that end in a zero byte.
func parseModinfo(info []byte) kernelModule {
	var m kernelModule
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		key, value, _ := strings.Cut(string(entry), "=")
		switch key {
		case "depends":
			for name := range strings.SplitSeq(value, ",") {
				if name != "" {
					m.needs = append(m.needs, strings.ReplaceAll(name, "-", "_"))
				}
			}
		case "softdep":
			// Optional dependencies: "pre: a b post: c".
		case "alias":
			m.aliases = append(m.aliases, value)
		}
	}
	return m
}

// order returns the names and their dependencies, each after what it depends on.
// Names that the tree lacks are omitted: they are built in or belong to another
// architecture.
func (t moduleTree) order(names ...string) []string {
	var order []string
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		module, ok := t[name]
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		for _, need := range module.needs {
			visit(need)
		}
		order = append(order, name)
	}
	for _, name := range names {
		visit(name)
	}
	return order
}

// match returns the modules whose path below "kernel/" matches a pattern.
func (t moduleTree) match(patterns []string) []string {
	var names []string
	for name, module := range t {
		below := strings.TrimPrefix(module.file, "kernel/")
		if slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, below); return ok && err == nil }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// dep renders modules.dep(5) for the named modules. A line lists everything that a
// module depends on, the innermost last.
func (t moduleTree) dep(names []string) string {
	var b strings.Builder
	for _, name := range names {
		order := t.order(name)
		b.WriteString(t[name].file + ":")
		for _, need := range slices.Backward(order[:len(order)-1]) {
			b.WriteString(" " + t[need].file)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// alias renders modules.alias for the named modules.
func (t moduleTree) alias(names []string) string {
	var b strings.Builder
	for _, name := range names {
		for _, alias := range t[name].aliases {
			fmt.Fprintf(&b, "alias %s %s\n", alias, name)
		}
	}
	return b.String()
}

// install copies the named modules without their signatures from one release's
// directory to another, and writes their indexes.
func (t moduleTree) install(from, to string, names []string) error {
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(from, t[name].file))
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(to, t[name].file), unsigned(content), 0o644); err != nil {
			return err
		}
	}
	for file, text := range map[string]string{"modules.dep": t.dep(names), "modules.alias": t.alias(names), "modules.symbols": ""} {
		if err := os.WriteFile(filepath.Join(to, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return copyFile(filepath.Join(to, "modules.builtin"), filepath.Join(from, "modules.builtin"), 0o644)
}

const (
	signatureMark = "~Module signature appended~\n"
	// signatureInfo is the size of struct module_signature, whose last four bytes
	// are the signature's length, big-endian (the kernel's scripts/sign-file.c).
	signatureInfo = 12
)

// unsigned returns a module without its signature. The image's digest covers the
// module, and under emulation checking a signature takes as long as loading the
// module.
func unsigned(module []byte) []byte {
	body, ok := bytes.CutSuffix(module, []byte(signatureMark))
	if !ok || len(body) < signatureInfo {
		return module
	}
	length := int64(binary.BigEndian.Uint32(body[len(body)-4:])) + signatureInfo
	if length > int64(len(body)) {
		return module
	}
	return body[:int64(len(body))-length]
}
