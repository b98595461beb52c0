package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestErrorsBehindABuildTagAreFound(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":       "module example.test\n\ngo 1.26\n",
		"pins.mod":     "module example.test\n\ngo 1.26\n",
		"a/a.go":       "package a\n\nimport \"strings\"\n\nfunc A() bool { return strings.Contains(\"ab\", b()) }\n",
		"a/b_old.go":   "//go:build !kubernetes_from_1_99\n\npackage a\n\nfunc b() string { return \"b\" }\n",
		"a/b_new.go":   "//go:build kubernetes_from_1_99\n\npackage a\n\nfunc b() int { return 1 }\n",
		"a/a_test.go":  "package a\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.None() }\n",
		"b/missing.go": "package b\n\nimport _ \"example.test/absent\"\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for tag, want := range map[string][]string{
		"kubernetes_from_1_99": {"a.go:5", "t.None undefined", "example.test/absent"},
		"other":                {"t.None undefined", "example.test/absent"},
	} {
		found, err := check(root, "pins.mod", tag, "./...")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(found, "\n")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is missing in\n%s", tag, part, text)
			}
		}
		if len(found) != len(want) {
			t.Errorf("%s: %d errors, want %d\n%s", tag, len(found), len(want), text)
		}
	}
}
