package skiff_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// phrases are wordings that this project once used and that a native speaker
// stumbles over, and what to write instead.
var phrases = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?i)\bsays? whether\b`), "reports whether"},
	{regexp.MustCompile(`(?i)\blook(s|ed)? after\b`), "manage"},
	{regexp.MustCompile(`(?i)\b(goes|go|went) on\b`), "continues, is still …"},
	{regexp.MustCompile(`(?i)\banew\b`), "again"},
	{regexp.MustCompile(`(?i)\bmend(s|ed|ing)?\b`), "fix, repair"},
	{regexp.MustCompile(`(?i)\b(is|are) to be (\w+ed|made|done|kept|sent|read|run)\b`), "must be"},
	{regexp.MustCompile(`(?i)(^|[^.\w])processors?\b`), "CPU"},
	{regexp.MustCompile(`(?i)\bof it now\b`), "say what it is"},
	{regexp.MustCompile(`(?i)\bwhat is wanted\b`), "the configuration"},
	{regexp.MustCompile(`(?i)\b(is|are) no (quantity|time|name|number|file|tar|address|cluster|node|archive|directory)\b`), "invalid …: use …"},
	{regexp.MustCompile(`(?i)\b(could|can) not be had\b`), "cannot be collected"},
	{regexp.MustCompile(`(?i)\bsole\b`), "only"},
	{regexp.MustCompile(`(?i)\bunwell\b`), "failing, unhealthy"},
	{regexp.MustCompile(`(?i)\bless than nothing\b`), "must not be negative"},
	{regexp.MustCompile(`(?i)\b(cluster|daemon|machine|node|server|it) does not run\b`), "is not running"},
	{regexp.MustCompile(`(?i)\bwhich cluster\?`), "no cluster named …; choose one of …"},
	{regexp.MustCompile(`(?i)\bhouses?\b`), "package"},
	{regexp.MustCompile(`(?i)\b(keychain|wishes)\b`), "credentials, settings"},
	{regexp.MustCompile(`(?i)\bthe person\b`), "the user"},
	{regexp.MustCompile(`(?i)\bparts? (from|with) (its|the) (client|machine)s?\b`), "disconnects"},
}

// thereIs is good English where "x is no file" is not.
var thereIs = regexp.MustCompile(`(?i)\bthere (is|are) no\b`)

// quotesOthers are files whose words are other people's.
var quotesOthers = []string{"LICENSE", "language_test.go"}

func TestStringsCommentsAndDocsUseTheFieldsTerms(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(quotesOthers, s.file) {
			continue
		}
		for line, text := range texts(t, s.file) {
			check(t, fmt.Sprintf("%s:%d", s.file, line), text)
		}
	}
	for _, name := range documents(t) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(content), "\n") {
			check(t, fmt.Sprintf("%s:%d", name, i+1), line)
		}
	}
}

func check(t *testing.T, place, text string) {
	t.Helper()
	text = thereIs.ReplaceAllString(text, "")
	for _, p := range phrases {
		if found := p.pattern.FindString(text); found != "" {
			t.Errorf("%s: %q: write %q", place, found, p.instead)
		}
	}
}

// texts returns the comments and string literals of a Go file by line, import
// paths and struct tags excluded, and the strings of tests, which quote anything.
func texts(t *testing.T, name string) map[int]string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]string{}
	for _, group := range file.Comments {
		for _, c := range group.List {
			all[set.Position(c.Pos()).Line] = c.Text
		}
	}
	if strings.HasSuffix(name, "_test.go") {
		return all
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			n.Tag = nil
		case *ast.BasicLit:
			if n.Kind != token.STRING {
				break
			}
			if text, err := strconv.Unquote(n.Value); err == nil {
				all[set.Position(n.Pos()).Line] += " " + text
			}
		}
		return true
	})
	return all
}

// documents are the Markdown files, scripts and workflow files of the project.
func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "scripts/*.sh", "test/*.sh", "test/*/*.sh", "release/*.sh", "Makefile", "action.yml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, names...)
	}
	return all
}
