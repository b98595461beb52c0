// Package cluster holds the commands that act on a whole cluster: up, down, stop,
// pause, resume, run, status and list.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/settings"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/drivers"
	registry "github.com/skiff-dev/skiff/vm/registry/client"
)

// upOptions are the flags of up that are not settings of the cluster.
type upOptions struct {
	file       string
	dryRun     bool
	wait       time.Duration
	kubeconfig string
	json       func() (bool, error)
}

// Up returns the command `up`.
func Up(s cli.Streams) *cobra.Command {
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
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runUp(cmd, s, args, o)
		},
	}
	settings.Flags(cmd.Flags(), cluster.Default())
	cmd.Flags().StringVarP(&o.file, "file", "f", os.Getenv("SKIFF_FILE"), "configuration `file` (skiff.yaml); - reads standard input")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the plan without changing anything")
	cmd.Flags().DurationVar(&o.wait, "wait", 10*time.Minute, "how long to wait for all nodes to be Ready; 0 returns once the cluster is starting")
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "merge into this `file` instead of your kubeconfig; \"none\" merges nowhere")
	o.json = cli.Output(cmd)
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	return cmd
}

func runUp(cmd *cobra.Command, s cli.Streams, args []string, o upOptions) error {
	asJSON, err := o.json()
	if err != nil {
		return err
	}
	if o.wait < 0 {
		return cli.Invalid("", "--wait must not be negative")
	}
	spec, err := resolve(cmd, s.In, args, o.file)
	if err != nil {
		return err
	}
	c, h, err := target.Client(spec.Name)
	if err != nil {
		return err
	}
	if err := c.Check(cmd.Context(), spec); err != nil {
		return target.Explain(spec.Name, err)
	}
	if o.dryRun {
		return showPlan(cmd.Context(), s, c, spec, asJSON)
	}
	warnOfDriver(s, c, spec)
	begun := time.Now()
	err = apply(cmd.Context(), s, c, spec, o.wait, asJSON)
	if err != nil && !errors.Is(err, errNotWaited) {
		return err
	}
	waited := err == nil
	merged := mergeKubeconfig(cmd.Context(), s, c, h.Cluster(spec.Name), o.kubeconfig)
	if asJSON {
		return nil
	}
	if !waited {
		fmt.Fprintf(s.Out, "cluster %q is starting in the background; run `skiff status %s` to see its progress\n", spec.Name, spec.Name)
		return nil
	}
	return summary(cmd.Context(), s, c, time.Since(begun), merged)
}

// warnOfDriver prints what a user must know before the first cluster of a driver
// is created.
func warnOfDriver(s cli.Streams, c *client.Client, spec cluster.Spec) {
	if _, err := c.Spec(); !errors.Is(err, client.ErrNoCluster) {
		return // an existing cluster keeps its driver
	}
	if entry, err := drivers.Find(spec.Driver); err == nil && entry.Warning != "" {
		fmt.Fprintf(s.Err, "warning: %s\n", entry.Warning)
	}
}

// resolve returns the cluster that flags, environment, configuration file and the
// current cluster ask for, with what the host's environment adds.
func resolve(cmd *cobra.Command, stdin io.Reader, args []string, path string) (cluster.Spec, error) {
	spec, err := configured(cmd, stdin, args, path)
	if err == nil {
		spec.Environment, err = environment(spec.CABundle)
	}
	return spec, err
}

// configured returns the cluster that flags, environment, configuration file and the
// current cluster ask for.
func configured(cmd *cobra.Command, stdin io.Reader, args []string, path string) (cluster.Spec, error) {
	var file settings.File
	if path != "" {
		var err error
		if file, err = settings.ReadFile(path, stdin); err != nil {
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
	if err := target.CheckName(name); err != nil {
		return spec, err
	}
	if path != "" {
		return spec, nil // a file describes the whole cluster
	}
	c, _, err := target.Client(name)
	if err != nil {
		return spec, err
	}
	last, err := c.Spec()
	if errors.Is(err, client.ErrNoCluster) {
		return spec, nil
	}
	if err != nil {
		return spec, target.Explain(name, err)
	}
	spec, err = settings.Resolve(cmd.Flags(), file, last)
	spec.Name = name
	return spec, err
}

func showPlan(ctx context.Context, s cli.Streams, c *client.Client, spec cluster.Spec, asJSON bool) error {
	steps, err := c.Plan(ctx, spec)
	if err != nil {
		return err
	}
	if asJSON {
		if steps == nil {
			steps = []cluster.Step{}
		}
		return s.JSON(steps)
	}
	if len(steps) == 0 {
		fmt.Fprintf(s.Out, "cluster %q is up to date: nothing to do\n", spec.Name)
	}
	for _, step := range steps {
		fmt.Fprintln(s.Out, step)
	}
	return nil
}

// summary prints the result of up and what to do next.
func summary(ctx context.Context, s cli.Streams, c *client.Client, took time.Duration, merged merge) error {
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "cluster %q is ready: %s, Kubernetes %s, in %.1f s", status.Name, cli.Count(len(status.Nodes), "node"), status.Kubernetes, took.Seconds())
	fmt.Fprintf(s.Out, "%s\n", timings(status.Timings))
	fmt.Fprintf(s.Out, "machines: %s\n", status.Accelerator)
	if line := registryLine(ctx, c); line != "" {
		fmt.Fprintln(s.Out, line)
	}
	switch {
	case merged.into != "":
		fmt.Fprintf(s.Out, "kubectl now uses the context %q; try:\n\n  kubectl get nodes\n", merged.context)
	default:
		fmt.Fprintf(s.Out, "no kubeconfig was changed; try:\n\n  skiff kubeconfig %s >config && kubectl --kubeconfig config get nodes\n", status.Name)
	}
	fmt.Fprintf(s.Out, "  skiff status %s\n  skiff down %s\n", status.Name, status.Name)
	return nil
}

// registryLine returns where to push images; it is empty if the cluster does not
// use the registry or that is not running yet.
func registryLine(ctx context.Context, c *client.Client) string {
	spec, err := c.Spec()
	if err != nil || spec.Registry.Disabled {
		return ""
	}
	h, err := target.Home()
	if err != nil {
		return ""
	}
	status, err := registry.New(h, nil).Status(ctx)
	switch {
	case err != nil:
		return ""
	case status.PortTaken:
		return fmt.Sprintf("registry: push images to %s (its usual port is taken)", status.Address)
	}
	return "registry: push images to " + status.Address
}

// timings formats durations as " (boot 3.1 s, join 2.0 s)", in the order of the
// phases.
func timings(seconds map[string]float64) string {
	text := ""
	for _, phase := range []daemonapi.Phase{
		daemonapi.PhasePrepare, daemonapi.PhaseBoot, daemonapi.PhaseControlPlane, daemonapi.PhaseJoin, daemonapi.PhaseReady,
	} {
		if took, ok := seconds[string(phase)]; ok {
			text += fmt.Sprintf(", %s %.1f s", phase, took)
		}
	}
	if text == "" {
		return ""
	}
	return " (" + text[2:] + ")"
}
