package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const events = `{"Action":"pass","Package":"github.com/skiff-dev/skiff/vm","Test":"TestA"}
{"Action":"skip","Package":"github.com/skiff-dev/skiff/vm","Test":"TestB/deep/er"}
{"Action":"skip","Package":"github.com/skiff-dev/skiff/empty"}
{"Action":"skip","Package":"github.com/skiff-dev/skiff/vm","Test":"TestC"}
`

func skips(t *testing.T, list string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"list": list, "events": events} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	err := run(&out, filepath.Join(dir, "list"), []string{filepath.Join(dir, "events")})
	return out.String(), err
}

func TestSkippedTestMustBeListed(t *testing.T) {
	if out, err := skips(t, "# no machine here\nvm TestB needs a machine\n"); err == nil ||
		!strings.Contains(err.Error(), "vm TestC") || strings.Contains(err.Error(), "TestB") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestListedTestsMayBeSkipped(t *testing.T) {
	out, err := skips(t, "vm TestB/* needs a machine\nvm Test[CD] needs two\n")
	if err != nil || !strings.HasPrefix(out, "skipped tests: 2, of which 0 ") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestListNeedsReasonsAndPatterns(t *testing.T) {
	for _, list := range []string{"vm TestB\n", "vm Test[ needs a machine\n"} {
		if _, err := skips(t, list); err == nil {
			t.Errorf("%q is accepted", list)
		}
	}
}
