package screen

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// helpers are the packages below this one that are not screens.
var helpers = []string{"address", "format", "grid", "kind", "operation"}

func TestScreensDoNotImportEachOther(t *testing.T) {
	files, err := filepath.Glob("*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			_, below, ok := strings.Cut(path, "/tui/screen/")
			if ok && !slices.Contains(helpers, below) {
				t.Errorf("%s imports %s: open it with a screen.Destination instead", file, path)
			}
		}
	}
}
