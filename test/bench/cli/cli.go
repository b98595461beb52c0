// Package cli runs skiff for benchmarks, apart from the user's own clusters.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Skiff is a skiff program with a SKIFF_HOME and a kubeconfig of its own.
type Skiff struct {
	program string
	// Dir is a directory that Delete removes.
	Dir string
	// Env is the environment of the program. It fits kubectl as well.
	Env []string
}

// New creates the directory. Further variables of the environment are as in
// NAME=VALUE.
func New(program string, env ...string) (Skiff, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return Skiff{}, err
	}
	// The path must be short, because it is part of socket paths.
	dir, err := os.MkdirTemp("", "skiff-bench-")
	if err != nil {
		return Skiff{}, err
	}
	s := Skiff{program: program, Dir: dir}
	// Making a template in the background would disturb what is measured.
	s.Env = append(os.Environ(), "SKIFF_HOME="+s.Home(), "KUBECONFIG="+s.Kubeconfig(), "SKIFF_TEMPLATES=off")
	s.Env = append(s.Env, env...)
	return s, nil
}

// With returns the same with further variables of the environment.
func (s Skiff) With(env ...string) Skiff {
	s.Env = append(slices.Clone(s.Env), env...)
	return s
}

// Home is the SKIFF_HOME.
func (s Skiff) Home() string { return filepath.Join(s.Dir, "h") }

// Kubeconfig is the file of the kubeconfig.
func (s Skiff) Kubeconfig() string { return filepath.Join(s.Dir, "kubeconfig") }

// Delete deletes a cluster, which may not exist, and the directory. It does so even
// if the context has ended.
func (s Skiff) Delete(ctx context.Context, cluster string) error {
	ctx = context.WithoutCancel(ctx)
	_, downErr := s.Run(ctx, "down", cluster)
	// The registry would use the directory a little longer.
	_, stopErr := s.Run(ctx, "registry", "stop")
	return errors.Join(downErr, stopErr, os.RemoveAll(s.Dir))
}

// Run runs the program and returns how long that took.
func (s Skiff) Run(ctx context.Context, args ...string) (time.Duration, error) {
	command := s.command(ctx, args...)
	command.Stdout = os.Stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("skiff %v: %w", args, err)
	}
	return time.Since(start), nil
}

// Query runs the program with "-o json" and decodes its output.
func (s Skiff) Query(ctx context.Context, result any, args ...string) error {
	output, err := s.command(ctx, append(args, "-o", "json")...).Output()
	if err == nil {
		err = json.Unmarshal(output, result)
	}
	if err != nil {
		return fmt.Errorf("skiff %v: %w", args, err)
	}
	return nil
}

func (s Skiff) command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, s.program, args...)
	command.Env, command.Stderr = s.Env, os.Stderr
	return command
}
