// Command types checks the types of the guest programs and their tests with the pins of other
// versions of Kubernetes: types VERSION... That takes seconds, where compiling such a version
// for the first time takes minutes. It runs in the root of the repository.
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "types:", err)
		os.Exit(1)
	}
}

func run(versions []string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	var faults []error
	for _, version := range versions {
		tags, err := exec.Command("scripts/tags.sh", version).Output()
		if err != nil {
			return fmt.Errorf("build tags of Kubernetes %s: %w", version, err)
		}
		found, err := check(root, "versions/"+version+".mod", strings.TrimSpace(string(tags)), guest()...)
		if err != nil {
			return fmt.Errorf("load Kubernetes %s: %w", version, err)
		}
		for _, fault := range found {
			faults = append(faults, fmt.Errorf("with Kubernetes %s: %s", version, fault))
		}
	}
	return errors.Join(faults...)
}

// guest are the packages that run on nodes.
func guest() []string {
	return []string{"./cmd/skiff-controlplane", "./cmd/skiff-init", "./cmd/skiff-nodeagent", "./controlplane/...", "./nodeagent/..."}
}

// check returns the errors in the packages that patterns match, with a module file and
// build tags separated by commas.
func check(root, pins, tags string, patterns ...string) ([]string, error) {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports |
			packages.NeedDeps | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo,
		Dir: root, Tests: true, BuildFlags: []string{"-modfile=" + pins, "-tags=" + tags},
		ParseFile: func(files *token.FileSet, name string, content []byte) (*ast.File, error) {
			return parse(root, files, name, content)
		},
	}, patterns...)
	if err != nil {
		return nil, err
	}
	var faults []string
	seen := map[string]bool{}
	packages.Visit(loaded, nil, func(p *packages.Package) {
		for _, fault := range p.Errors {
			// In other modules, functions without a body are errors. Errors without a position are
			// those of the go command.
			text := fault.Error()
			if (checked(root, fault.Pos) || fault.Pos == "" || fault.Pos == "-") && !seen[text] {
				seen[text] = true
				faults = append(faults, text)
			}
		}
	})
	return faults, nil
}

// parse leaves out the bodies of functions that are not checked, which other packages do not
// depend on.
func parse(root string, files *token.FileSet, name string, content []byte) (*ast.File, error) {
	file, err := parser.ParseFile(files, name, content, parser.SkipObjectResolution)
	if file == nil || checked(root, name) {
		return file, err
	}
	for _, declaration := range file.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok {
			function.Body = nil
		}
	}
	return file, err
}

// checked reports whether a file is part of the repository or of Kubernetes, which may not
// compile with our pins.
func checked(root, file string) bool {
	return strings.HasPrefix(file, root+string(filepath.Separator)) || strings.Contains(file, "/pkg/mod/k8s.io/")
}
