// Package skiff_test checks the project's structure: which package may import
// which, and that every package says what it is for.
package skiff_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/skiff-dev/skiff/"

// topLevel packages do not import each other, except as in builtOn; cmd imports them
// all.
var topLevel = []string{"vm", "controlplane", "nodeagent", "kube", "tui", "web", "images"}

// builtOn names the top-level package that the dashboards share: one layer of data
// and actions.
var builtOn = map[string]string{"tui": "kube", "web": "kube"}

// plainData packages may be imported by every top-level package: values and
// codecs, nothing that acts. They depend on the standard library and each other.
var plainData = []string{
	"nodeagent/nodeconfig",
	"nodeagent/nodeapi",
	"controlplane/pki",
	"images/manifest",
	"images/manifest/manifesttest",
	"controlplane/controlapi",
	"controlplane/cloud/cloudapi",
	"vm/machine",
	"vm/daemon/daemonapi",
}

// leaf is the folder of packages that everything may import. They import none of
// the project's other packages.
const leaf = "internal"

// forbidden names dependencies, direct or not, that a folder must not have.
var forbidden = []struct{ folder, prefix, why string }{
	{"vm", "k8s.io/kubernetes", "the host program links client-go only"},
	{"tui", "k8s.io/kubernetes", "the host program links client-go only"},
	{"kube", "k8s.io/kubernetes", "the host program links client-go only"},
	{"kube", "charm.land", "user interfaces without a terminal can use it"},
	{"web", "k8s.io/kubernetes", "the host program links client-go only"},
	{"cmd/skiff", "k8s.io/kubernetes", "the host program links client-go only"},
	{"cmd/skiff-init", "k8s.io", "PID 1 is small and must not fail"},
	{"nodeagent/boot", "k8s.io", "PID 1 is small and must not fail"},
	{leaf, "k8s.io", "PID 1 imports it: standard library and small libraries only"},
}

// emptyNames say nothing about what a package contains.
var emptyNames = []string{"util", "utils", "common", "helpers", "types", "manager", "misc"}

type source struct {
	folder  string // slash-separated, relative to the root
	file    string
	pkg     string
	doc     *ast.CommentGroup
	imports []string
}

func TestTopLevelPackagesDoNotImportEachOther(t *testing.T) {
	for _, s := range sources(t) {
		from := topLevelOf(s.folder)
		if from == "" {
			continue
		}
		for _, imp := range s.imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours || within(to, leaf) || slices.Contains(plainData, to) {
				continue
			}
			if of := topLevelOf(to); of != from && (of == "" || of != builtOn[from]) {
				t.Errorf("%s imports %s: %s may import only itself, %s, %v and what it is built on", s.file, to, from, leaf, plainData)
			}
		}
	}
}

func TestLeafPackagesImportNoOtherPackageOfTheProject(t *testing.T) {
	for _, s := range sources(t) {
		for _, imp := range s.imports {
			if to, ours := strings.CutPrefix(imp, module); ours && within(s.folder, leaf) && !within(to, leaf) {
				t.Errorf("%s imports %s", s.file, to)
			}
		}
	}
}

func TestPlainDataDependsOnlyOnTheStandardLibrary(t *testing.T) {
	dependencies := listDependencies(t, "linux")
	for _, folder := range plainData {
		for _, dependency := range dependencies.closure(module + folder) {
			own, ours := strings.CutPrefix(dependency, module)
			if ours && (slices.Contains(plainData, own) || within(own, leaf)) || dependencies[dependency].Standard {
				continue
			}
			t.Errorf("%s depends on %s", folder, dependency)
		}
	}
}

func TestForbiddenDependenciesAreAbsent(t *testing.T) {
	for _, system := range []string{"linux", "darwin"} {
		dependencies := listDependencies(t, system)
		for importPath := range dependencies {
			folder, ours := strings.CutPrefix(importPath, module)
			if !ours {
				continue
			}
			for _, rule := range forbidden {
				if !within(folder, rule.folder) {
					continue
				}
				for _, dependency := range dependencies.closure(importPath) {
					if within(dependency, rule.prefix) {
						t.Errorf("%s: %s depends on %s: %s", system, folder, dependency, rule.why)
						break
					}
				}
			}
		}
	}
}

var update = flag.Bool("update", false, "rewrite the linter's import rules in .golangci.yaml")

// TestLinterKnowsTheSameDirections keeps depguard's rules, which show a wrong
// import in an editor, generated from the tables above.
func TestLinterKnowsTheSameDirections(t *testing.T) {
	const file, begin, end = ".golangci.yaml", "      # Generated: go test . -update\n", "      # End of generated rules.\n"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no generated rules", file)
	}
	want := before + begin + linterRules() + end + after
	switch {
	case want == string(content):
	case *update:
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has other rules than this test: run \"go test . -update\"", file)
	}
}

// linterRules are depguard's rules, one for each top-level package.
func linterRules() string {
	var b strings.Builder
	b.WriteString("      rules:\n")
	for _, name := range topLevel {
		// A folder of another top-level package may have the same name.
		fmt.Fprintf(&b, "        %s:\n          files: [\"**/%s/**\"", name, name)
		for _, other := range topLevel {
			if other != name {
				fmt.Fprintf(&b, ", \"!**/%s/**\"", other)
			}
		}
		b.WriteString("]\n          list-mode: lax\n          allow:\n")
		for _, p := range plainData {
			if topLevelOf(p) != name {
				fmt.Fprintf(&b, "            - %s%s\n", module, p)
			}
		}
		fmt.Fprintf(&b, "          deny:\n            - {pkg: %scmd, desc: \"cmd imports the other packages, never the other way\"}\n", module)
		for _, other := range topLevel {
			if other != name && other != builtOn[name] {
				fmt.Fprintf(&b, "            - {pkg: %s%s, desc: \"top-level packages do not import each other\"}\n", module, other)
			}
		}
		for _, f := range forbidden {
			if f.folder == name {
				fmt.Fprintf(&b, "            - {pkg: %s, desc: %q}\n", f.prefix, f.why)
			}
		}
	}
	return b.String()
}

func TestEveryPackageIsNamedAndDocumented(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if slices.Contains(emptyNames, s.pkg) {
			t.Errorf("%s: the name %s says nothing about the package", s.file, s.pkg)
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

// within reports whether a slash-separated path is folder or below it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}

// topLevelOf returns the top-level package that a folder belongs to, or "".
func topLevelOf(folder string) string {
	first, _, _ := strings.Cut(folder, "/")
	if slices.Contains(topLevel, first) {
		return first
	}
	return ""
}

// dependencies are packages by import path.
type dependencies map[string]listed

type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// listDependencies asks the go command for all packages of this module, and all
// that they depend on, as built for an operating system.
func listDependencies(t *testing.T, system string) dependencies {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Imports,Standard", "./...")
	list.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := dependencies{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// closure returns everything that a package depends on, itself excluded.
func (d dependencies) closure(importPath string) []string {
	seen := map[string]bool{importPath: true}
	queue := slices.Clone(d[importPath].Imports)
	var all []string
	for len(queue) > 0 {
		next := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if seen[next] {
			continue
		}
		seen[next] = true
		all = append(all, next)
		queue = append(queue, d[next].Imports...)
	}
	return all
}

// sources parses the imports of every Go file of this module, tests and files for
// other systems included. Folders with a go.mod of their own are other modules.
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
		t.Fatalf("found only %d Go files: the walk is wrong", len(all))
	}
	return all
}

// skipped reports whether a folder holds nothing of this module: what is built,
// test data, hidden folders and nested modules.
func skipped(folder string) bool {
	switch base := filepath.Base(folder); {
	case folder == ".":
		return false
	case folder == "bin" || folder == "build" || base == "testdata" || strings.HasPrefix(base, "."):
		return true
	}
	nested, _ := filepath.Glob(filepath.Join(folder, "go.mod"))
	return len(nested) > 0
}
