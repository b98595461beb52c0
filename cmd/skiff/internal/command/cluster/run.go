package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/addon"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/logs"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/settings"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// commandGrace is how long the command may take to exit after it was signalled.
const commandGrace = 30 * time.Second

// runOptions are the flags of run that are not settings of the cluster.
type runOptions struct {
	file string
	wait time.Duration
	logs string
	// keep is one of the constants below.
	keep string
	// cold is set if machines boot even if there is a template.
	cold bool
}

// When run keeps the records of its cluster.
const (
	keepAfterFailure = "failure"
	keepAlways       = "always"
	keepNever        = "never"
)

// Run returns the command `run`.
func Run(s cli.Streams) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [NAME] -- COMMAND [ARGUMENT...]",
		Short: "Create a cluster, run a command against it, and delete it",
		Long: `Create a temporary cluster, run a command with KUBECONFIG set to it, and exit with the
command's exit code. The cluster is always deleted afterwards. If it fails to start or
the command fails, all logs are exported first, and the cluster's records are kept.

With several versions of Kubernetes, separated by commas, the command runs with each in turn,
in a separate cluster, even if it failed with an earlier one. A summary follows, and the
exit code is that of the first failure. The command finds the version in SKIFF_KUBERNETES.

Your kubeconfig and your other clusters are not touched. Skiff prints its own messages
to standard error only.`,
		Example: `  # Run end-to-end tests in a new cluster
  skiff run -- go test ./e2e

  # Use sandboxes instead of virtual machines
  skiff run --driver sandbox --workers 1 -- kubectl get nodes

  # Run them with several versions of Kubernetes (skiff version --available lists them)
  skiff run --kubernetes VERSION,VERSION -- go test ./e2e

  # Configure the cluster from a file and choose where logs of a failure go
  skiff run -f skiff.yaml --logs "$RUNNER_TEMP/logs" -- make test`,
	}
	settings.Flags(cmd.Flags(), cluster.Default())
	settings.Complete(cmd)
	cmd.Flags().StringVarP(&o.file, "file", "f", os.Getenv("SKIFF_FILE"), "configuration `file` (skiff.yaml); - reads standard input")
	cmd.Flags().DurationVar(&o.wait, "wait", 10*time.Minute, "how long to wait for all nodes to be Ready")
	cmd.Flags().StringVar(&o.logs, "logs", "skiff-logs", "export logs to this `directory` after a failure; \"none\" exports nothing")
	cmd.Flags().StringVar(&o.keep, "keep-records", keepAfterFailure, `when to keep the cluster's records: "failure", "always" or "never"`)
	coldFlag(cmd, &o.cold)
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	_ = cmd.RegisterFlagCompletionFunc("keep-records", cobra.FixedCompletions([]string{keepAfterFailure, keepAlways, keepNever}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, command, err := splitRun(cmd, args)
		if err != nil {
			return err
		}
		return run(cmd, s, name, command, o)
	}
	return cmd
}

// splitRun parses "[NAME] -- COMMAND…".
func splitRun(cmd *cobra.Command, args []string) (name, command []string, err error) {
	usage := "usage: " + cmd.UseLine()
	switch dash := cmd.ArgsLenAtDash(); {
	case dash < 0:
		return nil, nil, cli.Invalid(usage, "run: put -- before the command")
	case dash > 1:
		return nil, nil, cli.Invalid(usage, "run: unexpected argument %q", args[1])
	case len(args) == dash:
		return nil, nil, cli.Invalid(usage, "run: no command given")
	default:
		return args[:dash], args[dash:], nil
	}
}

// run runs the command in a cluster, or in one for each of several versions.
func run(cmd *cobra.Command, s cli.Streams, args, command []string, o runOptions) error {
	if o.wait <= 0 {
		return cli.Invalid("", "--wait must be positive")
	}
	if o.keep != keepAfterFailure && o.keep != keepAlways && o.keep != keepNever {
		return cli.Invalid("", "invalid --keep-records %q: must be %q, %q or %q", o.keep, keepAfterFailure, keepAlways, keepNever)
	}
	spec, err := resolveOnce(cmd, s.In, args, o.file)
	if err != nil {
		return err
	}
	runs, err := perVersion(spec, o)
	if err != nil {
		return err
	}
	// Start nothing unless all clusters can be started.
	for i := range runs {
		if err := runs[i].check(cmd.Context()); err != nil {
			return err
		}
	}
	hurry, release := secondSignal()
	defer release()
	if len(runs) == 1 {
		return runs[0].run(cmd.Context(), hurry, s, command)
	}
	return runEach(cmd.Context(), hurry, s, runs, command)
}

// oneRun is the run of a command in one temporary cluster.
type oneRun struct {
	spec    cluster.Spec
	options runOptions
	addons  []addon.Addon
}

// check returns an error if the cluster cannot be started, and reads its addons.
func (r *oneRun) check(ctx context.Context) error {
	c, h, err := target.Temporary(r.spec.Name)
	if err != nil {
		return err
	}
	if err := absent(h, r.spec.Name, "run would delete it"); err != nil {
		return err
	}
	r.addons, err = check(ctx, c, r.spec)
	return err
}

// run creates the cluster, runs the command, and deletes the cluster.
func (r oneRun) run(ctx context.Context, hurry <-chan struct{}, s cli.Streams, command []string) error {
	c, h, err := target.Temporary(r.spec.Name)
	if err != nil {
		return err
	}
	// Standard output belongs to the command.
	quiet := cli.Streams{In: s.In, Out: s.Err, Err: s.Err}
	err = once(ctx, hurry, s, quiet, c, h, r, command)
	if err != nil && r.options.logs != "none" && ctx.Err() == nil {
		if failed := logs.Export(ctx, quiet, r.spec.Name, r.options.logs); failed != nil {
			s.Report(failed)
		}
	}
	keep := r.options.keep == keepAlways || r.options.keep == keepAfterFailure && err != nil && ctx.Err() == nil
	if failed := downOnce(context.WithoutCancel(ctx), quiet, r.spec.Name, keep); failed != nil {
		if err == nil {
			return failed
		}
		s.Report(failed)
	}
	return err
}

// downOnce deletes the cluster, even if its records cannot be kept.
func downOnce(ctx context.Context, s cli.Streams, name string, keepRecords bool) error {
	err := runDown(ctx, s, name, daemonapi.DownRequest{KeepRecords: keepRecords, Snapshots: true}, false)
	if err == nil || !keepRecords {
		return err
	}
	s.Report(err)
	return runDown(ctx, s, name, daemonapi.DownRequest{Snapshots: true}, false)
}

// secondSignal returns a channel that is closed by the second signal: a CI runner
// that cancels a job sends several, some seconds apart. Until release is called,
// signals do not end the process, so that none of them keeps the cluster from being
// deleted.
func secondSignal() (second <-chan struct{}, release func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	hurry, done := make(chan struct{}), make(chan struct{})
	go func() {
		for n := 1; ; n++ {
			select {
			case <-done:
				return
			case <-signals:
			}
			if n == 2 {
				close(hurry)
			}
		}
	}()
	return hurry, func() {
		signal.Stop(signals)
		close(done)
	}
}

// resolveOnce returns the cluster for one command. Without a given name it has a
// random one, so that several can run at the same time.
func resolveOnce(cmd *cobra.Command, stdin io.Reader, args []string, file string) (cluster.Spec, error) {
	spec, err := Resolve(cmd, stdin, args, file)
	if err == nil && len(args) == 0 && spec.Name == cluster.Default().Name && os.Getenv("SKIFF_CLUSTER") == "" {
		spec.Name = "run-" + strings.ToLower(rand.Text()[:8])
	}
	return spec, err
}

// once creates the cluster and runs the command. hurry ends the command at once.
func once(ctx context.Context, hurry <-chan struct{}, s, quiet cli.Streams, c *client.Client, h home.Home, r oneRun, command []string) error {
	spec := r.spec
	var clone *clone
	if !r.options.cold {
		var err error
		if clone, spec, err = fromTemplate(quiet, h, spec); err != nil {
			return err
		}
	}
	if err := apply(ctx, quiet, c, clone, spec, r.addons, daemonapi.Draining{}, r.options.wait, false); err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // run deletes the cluster, so the hints of apply do not hold
		}
		return err
	}
	content, err := c.Kubeconfig(ctx)
	if err != nil {
		return err
	}
	// It is deleted with the cluster's directory.
	kubeconfig := filepath.Join(string(h.Cluster(spec.Name)), "kubeconfig")
	if err := atomicfile.Write(kubeconfig, content, 0o600); err != nil {
		return err
	}
	// Clusters that the command starts with skiff have the same version.
	version := "SKIFF_KUBERNETES="
	if current, err := c.Spec(); err == nil {
		version += current.KubernetesVersion
	}
	return execute(ctx, hurry, s, command, "KUBECONFIG="+kubeconfig, "SKIFF_CLUSTER="+spec.Name, version)
}

// execute runs a program on this host with the given streams. Its exit code is
// returned as a cli.ExitCode. The program is asked to terminate when ctx ends, and
// killed after commandGrace or when hurry is closed.
func execute(ctx context.Context, hurry <-chan struct{}, s cli.Streams, args []string, env ...string) error {
	command := exec.Command(args[0], args[1:]...)
	command.Env = append(os.Environ(), env...)
	command.Stdin, command.Stdout, command.Stderr = s.In, s.Out, s.Err
	// Children of the command end with it. On a terminal they stay in our process
	// group, which is the one that may read.
	group := !cli.IsTerminal(s.In)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: group}
	err := command.Start()
	if err == nil {
		pid := command.Process.Pid
		if group {
			pid = -pid
		}
		done := make(chan struct{})
		var watcher sync.WaitGroup
		watcher.Go(func() { terminate(ctx, hurry, done, func(how syscall.Signal) { _ = syscall.Kill(pid, how) }) })
		err = command.Wait()
		close(done)
		watcher.Wait()
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Exited():
		return cli.ExitCode(exit.ExitCode())
	case errors.As(err, &exit):
		// The code that a shell reports; see bash(1), "EXIT STATUS".
		return cli.ExitCode(128 + int(exit.Sys().(syscall.WaitStatus).Signal()))
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return cli.Invalid("", "run %s: %s", args[0], err)
	}
}

// terminate sends SIGTERM when ctx ends, and SIGKILL after commandGrace or when
// hurry is closed. It returns after SIGKILL or when done is closed.
func terminate(ctx context.Context, hurry, done <-chan struct{}, send func(syscall.Signal)) {
	select {
	case <-done:
		return
	case <-ctx.Done():
		send(syscall.SIGTERM)
	}
	select {
	case <-done:
	case <-hurry:
		send(syscall.SIGKILL)
	case <-time.After(commandGrace):
		send(syscall.SIGKILL)
	}
}
