package main

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/settings"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/home"
)

// commandGrace is how long a command may take to end once it was asked to.
const commandGrace = 30 * time.Second

// runOptions are the flags of run that are no keys of the Spec.
type runOptions struct {
	file string
	wait time.Duration
	logs string
}

func (a *app) runIn() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [NAME] -- COMMAND [ARGUMENT...]",
		Short: "Create a cluster, run a command against it, and delete it",
		Long: `Create a temporary cluster, run a command with KUBECONFIG set to it, and exit with the
command's exit code. The cluster is always deleted afterwards. If it fails to start or
the command fails, all logs are exported first.

Your kubeconfig and your other clusters are not touched. Skiff prints its own messages
to standard error only.`,
		Example: `  # Run end-to-end tests in a new cluster
  skiff run -- go test ./e2e

  # Use sandboxes instead of virtual machines
  skiff run --driver sandbox --workers 1 -- kubectl get nodes

  # Configure the cluster from a file and choose where logs of a failure go
  skiff run -f skiff.yaml --logs "$RUNNER_TEMP/logs" -- make test`,
	}
	settings.Flags(cmd.Flags(), cluster.Default())
	cmd.Flags().StringVarP(&o.file, "file", "f", os.Getenv("SKIFF_FILE"), "configuration `file` (skiff.yaml); - reads standard input")
	cmd.Flags().DurationVar(&o.wait, "wait", 10*time.Minute, "how long to wait for all nodes to be Ready")
	cmd.Flags().StringVar(&o.logs, "logs", "skiff-logs", "export logs to this `directory` after a failure; \"none\" exports nothing")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, command, err := splitRun(cmd, args)
		if err != nil {
			return err
		}
		return a.runRun(cmd, name, command, o)
	}
	return cmd
}

// splitRun takes "[NAME] -- COMMAND…" apart.
func splitRun(cmd *cobra.Command, args []string) (name, command []string, err error) {
	usage := "usage: " + cmd.UseLine()
	switch dash := cmd.ArgsLenAtDash(); {
	case dash < 0:
		return nil, nil, invalid(usage, "run: put -- before the command")
	case dash > 1:
		return nil, nil, invalid(usage, "run: unexpected argument %q", args[1])
	case len(args) == dash:
		return nil, nil, invalid(usage, "run: no command given")
	default:
		return args[:dash], args[dash:], nil
	}
}

func (a *app) runRun(cmd *cobra.Command, args, command []string, o runOptions) error {
	if o.wait <= 0 {
		return invalid("", "--wait must be positive")
	}
	spec, err := a.wantedOnce(cmd, args, o.file)
	if err != nil {
		return err
	}
	c, h, err := a.client(spec.Name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(string(h.Cluster(spec.Name))); err == nil {
		return invalid("choose another name",
			"cluster %q already exists, and run would delete it", spec.Name)
	}
	if err := c.Check(cmd.Context(), spec); err != nil {
		return about(spec.Name, err)
	}
	// Our standard output is the command's alone.
	quiet := &app{stdin: a.stdin, stdout: a.stderr, stderr: a.stderr}
	err = a.once(cmd.Context(), quiet, c, h, spec, command, o.wait)
	after := context.WithoutCancel(cmd.Context())
	if err != nil && o.logs != "none" && cmd.Context().Err() == nil {
		if failed := quiet.export(after, spec.Name, o.logs, a.stderr); failed != nil {
			report(a.stderr, failed)
		}
	}
	if failed := quiet.runDown(after, spec.Name, false); failed != nil {
		if err == nil {
			return failed
		}
		report(a.stderr, failed)
	}
	return err
}

// wantedOnce is the cluster for one command. If nobody names it, its name is
// new, so that several may run at once.
func (a *app) wantedOnce(cmd *cobra.Command, args []string, file string) (cluster.Spec, error) {
	spec, err := a.wanted(cmd, args, file)
	if err == nil && len(args) == 0 && spec.Name == cluster.Default().Name && os.Getenv("SKIFF_CLUSTER") == "" {
		spec.Name = "run-" + strings.ToLower(rand.Text()[:8])
	}
	return spec, err
}

// once brings the cluster up and runs the command.
func (a *app) once(ctx context.Context, quiet *app, c *client.Client, h home.Home, spec cluster.Spec, command []string, wait time.Duration) error {
	if err := quiet.apply(ctx, c, spec, wait, false); err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // it does not go on coming up, as apply says
		}
		return err
	}
	content, err := c.Kubeconfig(ctx)
	if err != nil {
		return err
	}
	// In the cluster's own directory, it goes when the cluster goes.
	kubeconfig := filepath.Join(string(h.Cluster(spec.Name)), "kubeconfig")
	if err := atomicfile.Write(kubeconfig, content, 0o600); err != nil {
		return err
	}
	return a.command(ctx, command, "KUBECONFIG="+kubeconfig, "SKIFF_CLUSTER="+spec.Name)
}

// command runs a program of the host with our streams; its exit code becomes
// ours.
func (a *app) command(ctx context.Context, args []string, env ...string) error {
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Env = append(os.Environ(), env...)
	command.Stdin, command.Stdout, command.Stderr = a.stdin, a.stdout, a.stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = commandGrace
	err := command.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Exited():
		return exitCode(exit.ExitCode())
	case errors.As(err, &exit):
		// As a shell says it (bash(1), "EXIT STATUS").
		return exitCode(128 + int(exit.Sys().(syscall.WaitStatus).Signal()))
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return invalid("", "run %s: %s", args[0], err)
	}
}
