// Package skiff_test keeps the project's shape: which house may import which,
// and that every package says what it is.
package skiff_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/skiff-dev/skiff/"

// plainData are the packages that every house may import: values and codecs,
// nothing that acts.
var plainData = []string{
	"nodeagent/nodeconfig",
	"nodeagent/nodeapi",
	"controlplane/pki",
	"vm/machine",
	"vm/daemon/daemonapi",
}

// houses do not import each other.
var houses = []string{"vm", "controlplane", "nodeagent", "tui", "images"}

// forbidden names imports that a folder must not have, and why.
var forbidden = []struct{ folder, prefix, why string }{
	{"vm", "k8s.io/kubernetes", "the host program links client-go only"},
	{"tui", "k8s.io/kubernetes", "the host program links client-go only"},
	{"cmd/skiff/", "k8s.io/kubernetes", "the host program links client-go only"},
	{"nodeagent/boot", "k8s.io/", "PID 1 is small and must not die"},
	{"internal/atomicfile", "k8s.io/", "every package may import it"},
	{"controlplane/pki", "k8s.io/", "every house may import it: standard library only"},
	{"nodeagent/nodeconfig", "k8s.io/", "every house may import it: standard library only"},
	{"nodeagent/nodeapi", "k8s.io/", "every house may import it: standard library only"},
	{"internal", "k8s.io/", "PID 1 and the host import it: standard library and small libraries only"},
}

// emptyNames say nothing about what a package keeps.
var emptyNames = []string{"util", "utils", "common", "helpers", "types", "manager", "misc"}

type source struct {
	folder  string // slash-separated, relative to the root
	file    string
	pkg     string
	doc     *ast.CommentGroup
	imports []string
}

func TestHousesDoNotImportEachOther(t *testing.T) {
	for _, s := range sources(t) {
		from := house(s.folder)
		if from == "" {
			continue
		}
		for _, imp := range s.imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours || slices.Contains(plainData, to) || internal(to) {
				continue
			}
			if strings.HasPrefix(to, "internal/") {
				continue
			}
			if other := house(to); other != from {
				t.Errorf("%s imports %s: %s may import only itself and %v", s.file, to, from, plainData)
			}
		}
	}
}

func TestPlainDataImportsOnlyTheStandardLibraryAndPlainData(t *testing.T) {
	for _, s := range sources(t) {
		if !slices.Contains(plainData, s.folder) || strings.HasSuffix(s.file, "_test.go") {
			continue
		}
		for _, imp := range s.imports {
			own, ours := strings.CutPrefix(imp, module)
			if ours && (slices.Contains(plainData, own) || internal(own)) || !strings.Contains(strings.Split(imp, "/")[0], ".") {
				continue
			}
			t.Errorf("%s imports %s", s.file, imp)
		}
	}
}

func TestInternalPackagesImportNothingElseOfThisModule(t *testing.T) {
	for _, s := range sources(t) {
		if !internal(s.folder) || strings.HasSuffix(s.file, "_test.go") {
			continue
		}
		for _, imp := range s.imports {
			if own, ours := strings.CutPrefix(imp, module); ours && !internal(own) {
				t.Errorf("%s imports %s: packages below internal are leaves", s.file, imp)
			}
		}
	}
}

func TestForbiddenImportsAreAbsent(t *testing.T) {
	for _, s := range sources(t) {
		for _, rule := range forbidden {
			if !strings.HasPrefix(s.folder+"/", strings.TrimSuffix(rule.folder, "/")+"/") {
				continue
			}
			for _, imp := range s.imports {
				if strings.HasPrefix(imp, rule.prefix) {
					t.Errorf("%s imports %s: %s", s.file, imp, rule.why)
				}
			}
		}
	}
}

func TestEveryPackageIsNamedAndDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if slices.Contains(emptyNames, s.pkg) {
			t.Errorf("%s: package %s says nothing about what it keeps", s.file, s.pkg)
		}
		if strings.HasSuffix(s.file, "_test.go") {
			continue
		}
		documented[s.folder] = documented[s.folder] || s.doc != nil
	}
	for folder, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", folder)
		}
	}
}

// house is the house that a folder of this module belongs to, or "".
func house(folder string) string {
	first, _, _ := strings.Cut(folder, "/")
	if slices.Contains(houses, first) {
		return first
	}
	return ""
}

// internal reports whether a folder of this module is one of the leaf packages
// that every top-level package may import.
func internal(folder string) bool { return strings.HasPrefix(folder, "internal/") }

// sources parses the imports of every Go file of this module; folders with a
// go.mod of their own are other modules.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(name):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{folder: path.Dir(filepath.ToSlash(name)), file: name, pkg: f.Name.Name, doc: f.Doc}
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imp)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d Go files found: the walk is wrong", len(all))
	}
	return all
}

func skipped(folder string) bool {
	if folder == "." {
		return false
	}
	base := filepath.Base(folder)
	if base == "testdata" || base == "bin" || base == "build" || strings.HasPrefix(base, ".") {
		return true
	}
	nested, _ := filepath.Glob(filepath.Join(folder, "go.mod"))
	return len(nested) > 0
}
