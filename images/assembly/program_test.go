package assembly

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/skiff-dev/skiff/images/recipe"
)

// modules are a module of images/programs and the module that it pins.
var modules = map[string]string{
	"hello/go.mod": `module example.com/programs/hello

go 1.26

tool example.com/hello/cmd/hello

require example.com/hello v1.2.3

replace example.com/hello => ./source
`,
	"hello/source/go.mod":             "module example.com/hello\n\ngo 1.26\n",
	"hello/source/version/version.go": "package version\n\nvar Version = \"unknown\"\n",
	"hello/source/cmd/hello/hello.go": "package main\n\nimport \"example.com/hello/version\"\n\nfunc main() { print(version.Version) }\n",
}

func TestProgramsKnowTheVersionOfTheirModule(t *testing.T) {
	source := t.TempDir()
	for name, content := range modules {
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	builder := programs{arch: runtime.GOARCH, source: source, cache: t.TempDir()}
	for want, stamp := range map[string]recipe.Stamp{
		"unknown": {},
		"v1.2.3":  {Module: "example.com/hello", Variable: "example.com/hello/version.Version"},
	} {
		dir, err := builder.build(t.Context(), recipe.Program{Module: "hello", Names: []string{"hello"}, Stamp: stamp})
		if err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command(filepath.Join(dir, "hello")).CombinedOutput()
		if err != nil || string(got) != want {
			t.Errorf("stamped with %+v, it prints %q, want %q (%v)", stamp, got, want, err)
		}
	}
}
