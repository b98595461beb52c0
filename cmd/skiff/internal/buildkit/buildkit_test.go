package buildkit

import (
	"maps"
	"strings"
	"testing"
)

func TestTheBuildersOwnFrontendReplacesDockersStableOne(t *testing.T) {
	for line, want := range map[string]string{
		"":                                      "",
		"FROM scratch\n# syntax=late":           "",
		"# syntax=docker/dockerfile:1":          "",
		"# syntax = docker/dockerfile:1.7":      "",
		"#syntax=docker.io/docker/dockerfile":   "",
		"# syntax=docker/dockerfile:1.7.1":      "",
		"# syntax=docker/dockerfile:1-labs":     "docker/dockerfile:1-labs",
		"# syntax=docker/dockerfile:2":          "docker/dockerfile:2",
		"# syntax=docker/dockerfile-upstream":   "docker/dockerfile-upstream",
		"# syntax=registry.test/dockerfile:1":   "registry.test/dockerfile:1",
		"# syntax=docker/dockerfile:1@sha256:0": "docker/dockerfile:1@sha256:0",
	} {
		if got := Syntax([]byte(line + "\n")); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestADockerfileIsBounded(t *testing.T) {
	if _, err := ReadDockerfile(strings.NewReader(strings.Repeat("#", maxDockerfile))); err != nil {
		t.Error(err)
	}
	if _, err := ReadDockerfile(strings.NewReader(strings.Repeat("#", maxDockerfile+1))); err == nil {
		t.Error("a larger one is read")
	}
}

func TestAttributesFollowFromTheBuild(t *testing.T) {
	plain := Build{Dockerfile: "app/Containerfile"}
	want := map[string]string{"filename": "Containerfile", "image-resolve-mode": "local", "cmdline": "docker/dockerfile:1"}
	if got := plain.attributes(); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	all := Build{Dockerfile: "Dockerfile", Syntax: "other", Args: map[string]string{"A": "1", "B": ""}, Target: "test", NoCache: true, Pull: true}
	want = map[string]string{
		"filename": "Dockerfile", "image-resolve-mode": "pull", "build-arg:A": "1", "build-arg:B": "", "target": "test", "no-cache": "",
	}
	if got := all.attributes(); !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
