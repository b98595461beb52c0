package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// perVersion returns a run for each version of Kubernetes in spec, which may be a list
// separated by commas. The clusters of several runs, and the directories of their
// logs, are named after their versions.
func perVersion(spec cluster.Spec, o runOptions) ([]oneRun, error) {
	versions := strings.Split(spec.KubernetesVersion, ",")
	if len(versions) == 1 {
		return []oneRun{{spec: spec, options: o}}, nil
	}
	var runs []oneRun
	for i, version := range versions {
		version = strings.TrimSpace(version)
		if version == "" {
			return nil, cli.Invalid("", "--kubernetes %q: a version is empty", spec.KubernetesVersion)
		}
		if slices.ContainsFunc(runs[:i], func(r oneRun) bool { return r.spec.KubernetesVersion == version }) {
			return nil, cli.Invalid("", "--kubernetes %q: %s is there twice", spec.KubernetesVersion, version)
		}
		r := oneRun{spec: spec, options: o}
		r.spec.KubernetesVersion = version
		r.spec.Name += "-" + strings.ReplaceAll(version, ".", "-")
		if o.logs != "none" {
			r.options.logs = filepath.Join(o.logs, version)
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// runEach does the runs one after another and prints a summary to standard error. The
// error is that of the first failure.
func runEach(ctx context.Context, hurry <-chan struct{}, s cli.Streams, runs []oneRun, command []string) error {
	rows := [][]string{{"KUBERNETES", "RESULT", "TIME"}}
	var first error
	for _, r := range runs {
		if ctx.Err() != nil {
			rows = append(rows, []string{r.spec.KubernetesVersion, "not run", ""})
			if first == nil {
				first = ctx.Err() // an interruption between two runs is not a success
			}
			continue
		}
		fmt.Fprintf(s.Err, "== Kubernetes %s\n", r.spec.KubernetesVersion)
		begun := time.Now()
		err := r.run(ctx, hurry, s, command)
		if first == nil {
			first = err
		} else if _, isCode := errors.AsType[cli.ExitCode](err); err != nil && !isCode {
			s.Report(err) // the first is reported by the caller
		}
		rows = append(rows, []string{r.spec.KubernetesVersion, result(err), time.Since(begun).Round(time.Second).String()})
	}
	if err := (cli.Streams{Out: s.Err, Err: s.Err}).Table(rows); err != nil {
		return err
	}
	return first
}

// result describes how a run ended in a few words.
func result(err error) string {
	code, ok := errors.AsType[cli.ExitCode](err)
	switch {
	case err == nil:
		return "passed"
	case ok:
		return fmt.Sprintf("failed with exit code %d", int(code))
	case errors.Is(err, context.Canceled):
		return "interrupted"
	}
	return "failed: " + cli.OneLine(err.Error())
}
