package web_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The functions of the front end that need no browser are tested by Node.js.
func TestFunctionsOfTheFrontEnd(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node.js is not installed")
	}
	tests, err := filepath.Glob("../build/web/tests/*.test.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if len(tests) == 0 {
		t.Skip("the front end is not built: run make web")
	}
	command := exec.CommandContext(t.Context(), node, append([]string{"--test"}, tests...)...)
	command.Env = append(os.Environ(), "NO_COLOR=1")
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// esbuild removes types and does not check them.
func TestTheTypesOfTheFrontEndAreCorrect(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node.js is not installed")
	}
	compiler := "../build/web/node_modules/typescript/bin/tsc"
	if _, err := os.Stat(compiler); err != nil {
		t.Skip("TypeScript is not fetched: run make web")
	}
	if output, err := exec.CommandContext(t.Context(), node, compiler, "--noEmit", "--project", "app").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
