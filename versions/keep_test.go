package main

import (
	"strings"
	"testing"
)

func TestAVersionKeepsWhatItWasTestedWithWhenTheDefaultChanges(t *testing.T) {
	const (
		standard = `module skiff

replace k8s.io/api => k8s.io/api v0.37.2

require (
	a.b/direct v1.2.0
	a.b/indirect v1.2.0 // indirect
	a.b/same v1.1.0
	github.com/opencontainers/cgroups v0.0.7 // indirect
	k8s.io/api v0.37.2
	k8s.io/kubernetes v1.37.2
)

exclude a.b/direct v1.3.0
`
		before = `module skiff

replace k8s.io/api => k8s.io/api v0.36.3

require (
	a.b/direct v1.1.0
	a.b/indirect v1.1.0 // indirect
	a.b/only v1.1.0 // indirect
	a.b/same v1.1.0
	github.com/opencontainers/cgroups v0.0.6 // indirect
	k8s.io/api v0.36.3
	k8s.io/kubernetes v1.36.3
)

exclude a.b/indirect v1.2.0
`
	)
	file, replaced := parse(t, standard), parse(t, before)
	if err := keep(file, replaced, true); err != nil {
		t.Fatal(err)
	}
	content, err := file.Format()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"a.b/direct v1.1.0 // kept\n", "a.b/indirect v1.1.0 // indirect; kept\n", "a.b/same v1.1.0\n", "github.com/opencontainers/cgroups v0.0.7 // indirect\n",
		"k8s.io/api v0.37.2\n", "k8s.io/kubernetes v1.37.2\n", "exclude a.b/direct v1.3.0\n", "exclude a.b/indirect v1.2.0\n",
	} {
		if !strings.Contains(string(content), line) {
			t.Errorf("%q is missing in\n%s", line, content)
		}
	}
	if strings.Contains(string(content), "a.b/only") {
		t.Errorf("a module that go.mod does not have is left to the go command, but it is in\n%s", content)
	}
	if faults := drift(parse(t, standard), file, nil); len(faults) > 0 {
		t.Errorf("drift: %q", faults)
	}

	// From then on, only what has the comment is kept.
	again := parse(t, strings.ReplaceAll(standard, "a.b/same v1.1.0", "a.b/same v1.2.0"))
	if err := keep(again, file, false); err != nil {
		t.Fatal(err)
	}
	second, err := again.Format()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(string(content), "a.b/same v1.1.0", "a.b/same v1.2.0"); string(second) != want {
		t.Errorf("written again:\n%s\nwant\n%s", second, want)
	}
}
