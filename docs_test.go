package skiff_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// linkPattern matches a Markdown link to a file of the repository, without its anchor.
	linkPattern = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	// pathPattern matches a Go file or a folder of the repository in backquotes.
	pathPattern = regexp.MustCompile("`((cmd|vm|controlplane|nodeagent|kube|tui|web|images|internal|test|docs|scripts|release)/[a-z0-9_/.-]+)`")
)

// TestDocsNameFilesThatExist checks links between documents and the paths that
// they mention.
func TestDocsNameFilesThatExist(t *testing.T) {
	for _, name := range documents(t) {
		if !strings.HasSuffix(name, ".md") || name == "CHANGELOG.md" {
			continue
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linkPattern.FindAllStringSubmatch(string(content), -1) {
			if target := filepath.Join(filepath.Dir(name), m[1]); !exists(target) {
				t.Errorf("%s links to %s", name, target)
			}
		}
		for _, m := range pathPattern.FindAllStringSubmatch(string(content), -1) {
			if target := strings.TrimSuffix(m[1], "/"); !exists(target) {
				t.Errorf("%s mentions %s", name, target)
			}
		}
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
