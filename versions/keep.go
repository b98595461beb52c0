package main

import (
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// kept is the comment on a module of which a version's file keeps an older release than go.mod
// has. A newer version that becomes the default raises modules in go.mod that the other
// versions have been built and tested without.
const kept = "kept"

// keep adds to a module file, which is written for a version, what the file that it replaces
// keeps for that version. If the default has changed, that is what is older than in go.mod.
// It is also what is excluded, because go.mod cannot exclude what the default requires.
func keep(file, replaced *modfile.File, changed bool) error {
	now := required(file)
	for _, r := range replaced.Require {
		have := now[r.Mod.Path]
		older := changed && semver.Compare(r.Mod.Version, have) < 0
		if have == "" || !older && !isKept(r) || staged(file, r.Mod.Path) || slices.Contains(follows, r.Mod.Path) {
			continue
		}
		if err := file.AddRequire(r.Mod.Path, r.Mod.Version); err != nil {
			return err
		}
		for _, line := range file.Require {
			if line.Mod.Path == r.Mod.Path {
				mark(line)
			}
		}
	}
	for _, e := range replaced.Exclude {
		if err := file.AddExclude(e.Mod.Path, e.Mod.Version); err != nil {
			return err
		}
	}
	return nil
}

// staged reports whether a module is Kubernetes itself or replaced by one of its own.
func staged(file *modfile.File, path string) bool {
	return path == kubernetes || strings.HasPrefix(path, "k8s.io/") &&
		slices.ContainsFunc(file.Replace, func(r *modfile.Replace) bool { return r.Old.Path == path })
}

// mark writes the comment of a module that is kept.
func mark(r *modfile.Require) {
	text := "// " + kept
	if r.Indirect {
		text = "// indirect; " + kept
	}
	r.Syntax.Suffix = []modfile.Comment{{Token: text, Suffix: true}}
}

func isKept(r *modfile.Require) bool {
	return slices.ContainsFunc(r.Syntax.Suffix, func(c modfile.Comment) bool { return strings.HasSuffix(c.Token, " "+kept) })
}
