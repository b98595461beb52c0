package image

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/buildkit"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestInvalidBuildsAreRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, test := range map[string]struct {
		flags buildFlags
		dir   string
		stdin string
	}{
		"has no name":                     {flags: buildFlags{}, dir: dir},
		"invalid image name \"A b\"":      {flags: buildFlags{tags: []string{"A b"}}, dir: dir},
		"has a digest":                    {flags: buildFlags{tags: []string{"app@sha256:" + strings.Repeat("0", 64)}}, dir: dir},
		"has no registry to push to":      {flags: buildFlags{tags: []string{"app"}, push: true}, dir: dir},
		"invalid progress \"loud\"":       {flags: buildFlags{tags: []string{"app"}, progress: "loud"}, dir: dir},
		"invalid build argument \"=1\"":   {flags: buildFlags{tags: []string{"app"}, args: []string{"=1"}}, dir: dir},
		"invalid secret \"token\"":        {flags: buildFlags{tags: []string{"app"}, secrets: []string{"token"}}, dir: dir},
		"is not a directory":              {flags: buildFlags{tags: []string{"app"}}, dir: filepath.Join(dir, "Dockerfile")},
		"no such file":                    {flags: buildFlags{tags: []string{"app"}, file: filepath.Join(dir, "absent")}, dir: dir},
		"cannot be used together":         {flags: buildFlags{tags: []string{"app"}, file: "Dockerfile"}, dir: "-"},
		"standard input is not a Dockerf": {flags: buildFlags{tags: []string{"app"}}, dir: "-", stdin: "a\x00b"},
	} {
		if test.flags.progress == "" {
			test.flags.progress = "auto"
		}
		_, cleanup, err := test.flags.build(strings.NewReader(test.stdin), test.dir)
		cleanup()
		var failure *daemonapi.Failure
		if !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, want) {
			t.Errorf("want %s, got %v", want, err)
		}
	}
}

func TestADockerfileFromStandardInputCopiesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	flags := buildFlags{tags: []string{"app"}, progress: "auto"}
	b, cleanup, err := flags.build(io.Reader(strings.NewReader("# syntax=other/frontend\nFROM scratch\n")), "-")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(b.Context)
	if err != nil || len(entries) > 0 || b.Syntax != "other/frontend" || !slices.Equal(b.Names, []string{"docker.io/library/app:latest"}) {
		t.Errorf("%+v, %v, %v", b, entries, err)
	}
	cleanup()
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBuildArgumentsWithoutAValueComeFromTheEnvironment(t *testing.T) {
	environment := map[string]string{"SET": "here"}
	lookup := func(name string) (string, bool) { value, ok := environment[name]; return value, ok }
	got, err := buildArguments([]string{"A=1=2", "SET", "UNSET", "EMPTY="}, lookup)
	if want := map[string]string{"A": "1=2", "SET": "here", "EMPTY": ""}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestSecretsAreFilesOrVariables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TOKEN", "x")
	got, err := buildSecrets([]string{"id=a,src=" + file, "type=env,id=b,env=TOKEN"})
	if want := []buildkit.Secret{{ID: "a", File: file}, {ID: "b", Variable: "TOKEN"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "id=a", "src=" + file, "id=a,src=" + file + ",env=TOKEN", "id=a,src=/no/such/file", "id=a,env=NO_SUCH_VARIABLE", "id=a,mode=1"} {
		if _, err := buildSecrets([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestTheFirstWorkerBuilds(t *testing.T) {
	for _, test := range [][]string{
		{"worker-1", "control-plane-1", "worker-1", "worker-2"},
		{"control-plane-1", "control-plane-1"},
	} {
		if got := buildNode(test[1:]); got != test[0] {
			t.Errorf("%v: %s", test[1:], got)
		}
	}
}

func TestImagesThatCannotBePulledAreExplained(t *testing.T) {
	for text, want := range map[string]string{
		"failed to solve: none:1: failed to resolve source metadata for docker.io/library/none:1: dial tcp": "skiff image load",
		"failed to solve: failed to resolve source metadata for docker.io/other/frontend:2":                 "# syntax=",
	} {
		var failure *daemonapi.Failure
		if err := explainBuild(errors.New(text), "other/frontend:2"); !errors.As(err, &failure) || !strings.Contains(failure.Hint, want) || strings.Contains(failure.Cause, "failed to solve") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := explainBuild(errors.New("read app:1: failed to solve: exit code: 7"), ""); err.Error() != "exit code: 7" {
		t.Errorf("got %v", err)
	}
}
