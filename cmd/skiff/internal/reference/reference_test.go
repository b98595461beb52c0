package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const guide = "../../../../docs/guide"

func TestReferencesAreUpToDate(t *testing.T) {
	t.Setenv("SKIFF_FILE", "")
	for name, render := range pages {
		want, err := render()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(guide, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("docs/guide/%s is stale: run `make docs`", name)
		}
	}
}

func TestEveryCommandHasExamplesAndAShortDescription(t *testing.T) {
	for _, c := range commands(root()) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short description %q", c.CommandPath(), c.Short)
		}
		if !strings.HasPrefix(c.Example, "  # ") {
			t.Errorf("%s: the examples do not start with a comment:\n%s", c.CommandPath(), c.Example)
		}
	}
}

func TestSchemaIsClosed(t *testing.T) {
	content, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	var decoded struct {
		Properties           map[string]any
		AdditionalProperties bool
	}
	decoded.AdditionalProperties = true
	if err := json.Unmarshal(content, &decoded); err != nil {
		t.Fatal(err)
	}
	if decoded.AdditionalProperties || decoded.Properties["workers"] == nil || decoded.Properties["network"] == nil {
		t.Errorf("got %s", content)
	}
}

func TestManPagesAndCompletionsAreGenerated(t *testing.T) {
	dir := t.TempDir()
	if err := run("", filepath.Join(dir, "man"), filepath.Join(dir, "completions")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"man/skiff-up.1", "man/skiff-image-load.1", "completions/skiff.bash", "completions/_skiff", "completions/skiff.fish"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
