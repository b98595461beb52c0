package skiff_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// action is what the tests need of action.yml.
type action struct {
	Inputs map[string]struct{ Default string }
	Runs   struct {
		Steps []struct {
			Run string
			Env map[string]string
		}
	}
}

func readAction(t *testing.T) action {
	t.Helper()
	content, err := os.ReadFile("action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var a action
	if err := yaml.Unmarshal(content, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestActionPassesEveryInputOnAndTheScriptKnowsIt(t *testing.T) {
	script, err := os.ReadFile("scripts/action.sh")
	if err != nil {
		t.Fatal(err)
	}
	a := readAction(t)
	var passed []string
	for _, step := range a.Runs.Steps {
		for name, value := range step.Env {
			input := regexp.MustCompile(`inputs\.([a-z-]+)`).FindStringSubmatch(value)
			if input == nil {
				t.Errorf("%s is %s, no input", name, value)
				continue
			}
			passed = append(passed, input[1])
			if !strings.Contains(string(script), name) {
				t.Errorf("the script does not read %s", name)
			}
		}
	}
	for name := range a.Inputs {
		if !slices.Contains(passed, name) {
			t.Errorf("input %s goes nowhere", name)
		}
	}
	if len(a.Inputs) < 8 {
		t.Errorf("only %d inputs found", len(a.Inputs))
	}
}

// fakeSkiff writes down what it is asked, and fails if it is asked for "up"
// with the memory "none".
const fakeSkiff = `#!/bin/sh
echo "$*" >>"$ACTION_TEST/calls"
case "$*" in
"drivers --best") echo sandbox ;;
up*none*) exit 1 ;;
esac
`

func TestActionBringsAClusterUpOrRunsACommandInOne(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("as another user the script calls sudo")
	}
	a := readAction(t)
	for what, c := range map[string]struct {
		env   []string
		fails bool
		want  []string
	}{
		"stays": {nil, false, []string{
			"drivers --best", "up --driver sandbox --control-planes 1 --workers 2 --memory 2Gi",
		}},
		"command": {[]string{"ACTION_RUN=make e2e", "ACTION_DRIVER=lima"}, false, []string{
			"run --driver lima --control-planes 1 --workers 2 --memory 2Gi --logs skiff-logs -- bash -euo pipefail -c make e2e",
		}},
		"file": {[]string{"ACTION_FILE=skiff.yaml", "ACTION_DRIVER=lima"}, false, []string{
			"up --driver lima -f skiff.yaml",
		}},
		"version": {[]string{"ACTION_KUBERNETES=1.35", "ACTION_FILE=skiff.yaml", "ACTION_DRIVER=lima"}, false, []string{
			"up --driver lima -f skiff.yaml --kubernetes 1.35",
		}},
		"failure": {[]string{"ACTION_DRIVER=lima", "ACTION_MEMORY=none"}, true, []string{
			"up --driver lima --control-planes 1 --workers 2 --memory none", "logs export skiff-logs", "down",
		}},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "bin/skiff"), []byte(fakeSkiff), 0o700); err != nil {
				t.Fatal(err)
			}
			command := exec.CommandContext(t.Context(), "scripts/action.sh", "up")
			command.Env = append(os.Environ(), "ACTION_TEST="+dir, "SKIFF_ACTION_CACHE="+dir, "GITHUB_WORKSPACE="+dir, "HOME="+dir)
			for name, input := range a.Inputs {
				variable := "ACTION_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
				command.Env = append(command.Env, variable+"="+input.Default)
			}
			command.Env = append(command.Env, c.env...)
			out, err := command.CombinedOutput()
			if (err != nil) != c.fails {
				t.Errorf("%v\n%s", err, out)
			}
			calls, err := os.ReadFile(filepath.Join(dir, "calls"))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Split(strings.TrimSpace(string(calls)), "\n"); !slices.Equal(got, c.want) {
				t.Errorf("called %q\nwant   %q", got, c.want)
			}
		})
	}
}

// usesPattern matches a step's action, with its reference and comment.
var usesPattern = regexp.MustCompile(`(?m)^\s*(?:- )?uses: *([^\s@]+)@(\S+)(.*)$`)

// pinnedPattern matches the rest of a line that pins an action: the digest of a commit
// cannot be moved to other content, as a tag can.
var pinnedPattern = regexp.MustCompile(`^[0-9a-f]{40} # v\d+\.\d+\.\d+$`)

func TestActionsOfOthersArePinnedByDigest(t *testing.T) {
	files := []string{"action.yml"}
	for _, pattern := range []string{".github/workflows/*.y*ml", "*.md", "docs/*.md", "docs/*/*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, names...)
	}
	found := 0
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range usesPattern.FindAllStringSubmatch(string(content), -1) {
			if m[1] == "skiff-dev/skiff" {
				continue
			}
			found++
			if !pinnedPattern.MatchString(m[2] + m[3]) {
				t.Errorf("%s: %s is not pinned: use %s@DIGEST # vX.Y.Z", file, strings.TrimSpace(m[0]), m[1])
			}
		}
	}
	if found < 4 {
		t.Errorf("found only %d actions", found)
	}
}
