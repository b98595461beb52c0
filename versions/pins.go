package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// kubernetes is the module with Kubernetes' components. Its staging modules have a
// repository and a version of their own: those of v1.36.3 have v0.36.3.
const kubernetes = "k8s.io/kubernetes"

// release matches a release of Kubernetes.
var release = regexp.MustCompile(`^v1\.[0-9]+\.[0-9]+$`)

// pin changes a module file to a release of Kubernetes, whose own module file lists its
// staging modules. Everything else stays as it is.
func pin(file, upstream *modfile.File, version string) error {
	if !release.MatchString(version) {
		return fmt.Errorf("invalid version %q: use a release of Kubernetes such as v1.36.3", version)
	}
	staging := stagingModules(upstream)
	if len(staging) == 0 {
		return fmt.Errorf("%s %s lists no staging modules", kubernetes, version)
	}
	zero := "v0" + strings.TrimPrefix(version, "v1")
	for _, r := range slices.Clone(file.Replace) {
		if r.Old.Path != r.New.Path || !strings.HasPrefix(r.Old.Path, "k8s.io/") || slices.Contains(staging, r.Old.Path) {
			continue
		}
		if err := file.DropReplace(r.Old.Path, r.Old.Version); err != nil {
			return err
		}
	}
	for _, path := range staging {
		if err := file.AddReplace(path, "", path, zero); err != nil {
			return err
		}
	}
	if err := file.AddRequire(kubernetes, version); err != nil {
		return err
	}
	for _, r := range slices.Clone(file.Require) {
		// Drop the staging modules that this release does not have.
		if strings.HasPrefix(r.Mod.Path, "k8s.io/") && r.Mod.Version == "v0.0.0" && !slices.Contains(staging, r.Mod.Path) {
			if err := file.DropRequire(r.Mod.Path); err != nil {
				return err
			}
		}
	}
	wanted, ours := required(upstream), required(file)
	for _, path := range follows {
		var err error
		switch {
		case ours[path] == "":
		case wanted[path] == "":
			err = file.DropRequire(path)
		default:
			err = file.AddRequire(path, wanted[path])
		}
		if err != nil {
			return err
		}
	}
	// Do not exclude what this release itself requires.
	for _, e := range slices.Clone(file.Exclude) {
		if slices.ContainsFunc(upstream.Require, func(r *modfile.Require) bool { return r.Mod == e.Mod }) {
			if err := file.DropExclude(e.Mod.Path, e.Mod.Version); err != nil {
				return err
			}
		}
	}
	file.Cleanup()
	return nil
}

// follows are modules whose API changes with each of their releases, so the kubelet compiles
// only with those that it requires. A release may not need one of them.
var follows = []string{"github.com/google/cadvisor", "github.com/google/cadvisor/lib", "github.com/opencontainers/cgroups"}

// required returns the version of each module that a module file requires.
func required(file *modfile.File) map[string]string {
	versions := map[string]string{}
	for _, r := range file.Require {
		versions[r.Mod.Path] = r.Mod.Version
	}
	return versions
}

// samples are staging modules that no program needs.
var samples = []string{"k8s.io/sample-cli-plugin", "k8s.io/sample-controller"}

// stagingModules lists the modules that Kubernetes' own module file replaces by a folder.
func stagingModules(upstream *modfile.File) []string {
	var all []string
	for _, r := range upstream.Replace {
		if strings.HasPrefix(r.Old.Path, "k8s.io/") && strings.HasPrefix(r.New.Path, "./") && !slices.Contains(samples, r.Old.Path) {
			all = append(all, r.Old.Path)
		}
	}
	slices.Sort(all)
	return all
}

// pinned returns the release of Kubernetes that a module file pins; empty if it pins none.
func pinned(file *modfile.File) string {
	for _, r := range file.Require {
		if r.Mod.Path == kubernetes {
			return r.Mod.Version
		}
	}
	return ""
}

// drift describes how the pins of another version's module file differ from those of go.mod
// for reasons other than Kubernetes, which needs newer releases of some modules: indirect ones,
// and those in newer. It needs its own release of those in follows, and keeps some.
func drift(standard, other *modfile.File, newer []string) []string {
	have, keeps := required(other), map[string]bool{}
	for _, r := range other.Require {
		keeps[r.Mod.Path] = isKept(r)
	}
	var faults []string
	for _, r := range standard.Require {
		path, want, got := r.Mod.Path, r.Mod.Version, have[r.Mod.Path]
		if strings.HasPrefix(path, "k8s.io/") || slices.Contains(follows, path) || keeps[path] || got == want {
			continue
		}
		switch {
		case got == "" && r.Indirect: // another version of Kubernetes may not need it
		case got == "":
			faults = append(faults, path+" is missing")
		case semver.Compare(got, want) < 0:
			faults = append(faults, fmt.Sprintf("%s is %s, older than %s", path, got, want))
		case !r.Indirect && !slices.Contains(newer, path):
			faults = append(faults, fmt.Sprintf("%s is %s, not %s", path, got, want))
		}
	}
	return faults
}
