package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/settings"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// upOptions are the flags of up that are no keys of the Spec.
type upOptions struct {
	file       string
	dryRun     bool
	wait       time.Duration
	kubeconfig string
	json       func() (bool, error)
}

func (a *app) up() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up [NAME]",
		Short: "Create a cluster, or update it to match its configuration",
		Long: `Create the cluster NAME ("skiff" by default), or update it to match its configuration.
This also starts a stopped cluster, resumes a paused one and replaces missing parts.
It is safe to run again at any time.

Settings are taken from, in order of precedence: flags, SKIFF_* environment variables,
the file given with -f, the cluster's current settings (only without -f), and defaults.`,
		Example: `  # Create a cluster with one control plane and two workers
  skiff up

  # Create, or resize, a cluster named "ci"
  skiff up ci --workers 4 --memory 3Gi

  # Create a highly available cluster
  skiff up --control-planes 3

  # Show what a configuration file would change
  skiff up -f skiff.yaml --dry-run`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeClusterArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runUp(cmd, args, o)
		},
	}
	settings.Flags(cmd.Flags(), cluster.Default())
	cmd.Flags().StringVarP(&o.file, "file", "f", os.Getenv("SKIFF_FILE"), "configuration `file` (skiff.yaml); - reads standard input")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the plan without changing anything")
	cmd.Flags().DurationVar(&o.wait, "wait", 10*time.Minute, "how long to wait for all nodes to be Ready; 0 returns once the cluster is starting")
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "merge into this `file` instead of your kubeconfig; \"none\" merges nowhere")
	o.json = output(cmd)
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	return cmd
}

func (a *app) runUp(cmd *cobra.Command, args []string, o upOptions) error {
	asJSON, err := o.json()
	if err != nil {
		return err
	}
	if o.wait < 0 {
		return invalid("", "--wait must not be negative")
	}
	spec, err := a.wanted(cmd, args, o.file)
	if err != nil {
		return err
	}
	c, h, err := a.client(spec.Name)
	if err != nil {
		return err
	}
	if err := c.Check(cmd.Context(), spec); err != nil {
		return about(spec.Name, err)
	}
	if o.dryRun {
		return a.showPlan(cmd.Context(), c, spec, asJSON)
	}
	begun := time.Now()
	err = a.apply(cmd.Context(), c, spec, o.wait, asJSON)
	if err != nil && !errors.Is(err, errNotWaited) {
		return err
	}
	waited := err == nil
	merged := a.mergeKubeconfig(cmd.Context(), c, h.Cluster(spec.Name), o.kubeconfig)
	if asJSON {
		return nil
	}
	if !waited {
		fmt.Fprintf(a.stdout, "cluster %q is starting in the background; run `skiff status %s` to see its progress\n", spec.Name, spec.Name)
		return nil
	}
	return a.summary(cmd.Context(), c, time.Since(begun), merged)
}

// wanted is the cluster that flags, environment, file and what it was last
// brought to ask for.
func (a *app) wanted(cmd *cobra.Command, args []string, path string) (cluster.Spec, error) {
	var file settings.File
	if path != "" {
		var err error
		if file, err = settings.ReadFile(path, a.stdin); err != nil {
			return cluster.Spec{}, err
		}
	}
	spec, err := settings.Resolve(cmd.Flags(), file, cluster.Default())
	if err != nil {
		return spec, err
	}
	if len(args) > 0 {
		spec.Name = args[0]
	}
	name := spec.Name
	if err := checkName(name); err != nil {
		return spec, err
	}
	if path != "" {
		return spec, nil // the file is the whole of it
	}
	c, _, err := a.client(name)
	if err != nil {
		return spec, err
	}
	last, err := c.Spec()
	if errors.Is(err, client.ErrNoCluster) {
		return spec, nil
	}
	if err != nil {
		return spec, about(name, err)
	}
	spec, err = settings.Resolve(cmd.Flags(), file, last)
	spec.Name = name
	return spec, err
}

func (a *app) showPlan(ctx context.Context, c *client.Client, spec cluster.Spec, asJSON bool) error {
	steps, err := c.Plan(ctx, spec)
	if err != nil {
		return err
	}
	if asJSON {
		if steps == nil {
			steps = []cluster.Step{}
		}
		return a.printJSON(steps)
	}
	if len(steps) == 0 {
		fmt.Fprintf(a.stdout, "cluster %q is up to date: nothing to do\n", spec.Name)
	}
	for _, step := range steps {
		fmt.Fprintln(a.stdout, step)
	}
	return nil
}

// errNotWaited: --wait 0, and the work goes on without us.
var errNotWaited = errors.New("not waited for")

// apply brings the cluster to spec and shows how it goes.
func (a *app) apply(ctx context.Context, c *client.Client, spec cluster.Spec, wait time.Duration, asJSON bool) error {
	return a.follow(ctx, coming{
		command: "up", name: spec.Name, wait: wait, asJSON: asJSON,
		work:  func(ctx context.Context, event func(daemonapi.Event)) error { return c.Apply(ctx, spec, event) },
		begun: prepared,
	})
}

// prepared says that an apply has made the certificates, and with them what the
// kubeconfig is made of: they are there from the first boot on.
func prepared(e daemonapi.Event) bool {
	return e.Phase != "" && e.Phase != daemonapi.PhasePrepare && e.Phase != daemonapi.PhaseCluster
}

// coming is the work by which a cluster comes up; it goes on when nobody waits.
type coming struct {
	command, name string
	wait          time.Duration // 0: only until it has begun
	asJSON        bool
	work          func(ctx context.Context, event func(daemonapi.Event)) error
	begun         func(daemonapi.Event) bool
}

// follow shows how a cluster comes up, for as long as is to be waited.
func (a *app) follow(ctx context.Context, up coming) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var failed daemonapi.Event
	err := a.show(ctx, up.asJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
		if up.wait > 0 {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, up.wait)
			defer stop()
		}
		return up.work(ctx, func(e daemonapi.Event) {
			event(e)
			if e.State == daemonapi.StateFailed && e.Phase != "" && failed.Phase == "" {
				failed = e
			}
			if up.wait == 0 && up.begun(e) {
				cancel(errNotWaited)
			}
		})
	})
	switch {
	case errors.Is(context.Cause(ctx), errNotWaited) && errors.Is(err, context.Canceled):
		return errNotWaited
	case errors.Is(err, context.Canceled):
		return &interrupted{daemonapi.Failure{
			Cause: fmt.Sprintf("interrupted; cluster %q is still starting in the background", up.name),
			Hint:  fmt.Sprintf("run `skiff %s %s` to watch it again, or `skiff down %s` to delete it", up.command, up.name, up.name),
		}}
	case errors.Is(err, context.DeadlineExceeded):
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("cluster %q is not ready after %s and is still starting in the background", up.name, up.wait),
			Log:   fmt.Sprintf("skiff logs -c %s --source daemon", up.name),
			Hint:  fmt.Sprintf("run `skiff status %s` to see its progress, or `skiff %s %s --wait %s` to wait longer", up.name, up.command, up.name, 2*up.wait),
		}
	case err != nil && failed.Phase != "":
		return &phaseError{phase: failed.Phase, node: failed.Node, err: err}
	}
	return err
}

// phaseError says in which phase an error happened, and on which node if it
// was one.
type phaseError struct {
	phase daemonapi.Phase
	node  string
	err   error
}

func (e *phaseError) Error() string { return e.err.Error() }

func (e *phaseError) Unwrap() error { return e.err }

func (e *phaseError) where() string {
	if e.node == "" {
		return string(e.phase)
	}
	return string(e.phase) + ", " + e.node
}

// interrupted is what Ctrl-C leaves: an explanation, and exit code 130.
type interrupted struct{ failure daemonapi.Failure }

func (i *interrupted) Error() string { return i.failure.Cause }

func (i *interrupted) Unwrap() []error { return []error{&i.failure, context.Canceled} }

// summary says what came of up and what to do next.
func (a *app) summary(ctx context.Context, c *client.Client, took time.Duration, merged merge) error {
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "cluster %q is ready: %s, Kubernetes %s, in %.1f s", status.Name, count(len(status.Nodes), "node"), status.Kubernetes, took.Seconds())
	fmt.Fprintf(a.stdout, "%s\n", timings(status.Timings))
	fmt.Fprintf(a.stdout, "machines: %s\n", status.Accelerator)
	switch {
	case merged.into != "":
		fmt.Fprintf(a.stdout, "kubectl now uses the context %q; try:\n\n  kubectl get nodes\n", merged.context)
	default:
		fmt.Fprintf(a.stdout, "no kubeconfig was changed; try:\n\n  skiff kubeconfig %s >config && kubectl --kubeconfig config get nodes\n", status.Name)
	}
	fmt.Fprintf(a.stdout, "  skiff status %s\n  skiff down %s\n", status.Name, status.Name)
	return nil
}

// count returns "1 node" or "2 nodes".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// timings is " (boot 3.1 s, join 2.0 s)", in the order of the phases.
func timings(seconds map[string]float64) string {
	text := ""
	for _, phase := range []daemonapi.Phase{
		daemonapi.PhasePrepare, daemonapi.PhaseBoot, daemonapi.PhaseControlPlane, daemonapi.PhaseJoin, daemonapi.PhaseReady,
	} {
		if s, ok := seconds[string(phase)]; ok {
			text += fmt.Sprintf(", %s %.1f s", phase, s)
		}
	}
	if text == "" {
		return ""
	}
	return " (" + text[2:] + ")"
}
