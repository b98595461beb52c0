// Package cluster holds the commands that act on a whole cluster: up, down, stop,
// pause, resume, run, status and list.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/addon"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/kindconfig"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/settings"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/offline"
	registry "github.com/skiff-dev/skiff/vm/registry/client"
)

// upOptions are the flags of up that are not settings of the cluster.
type upOptions struct {
	file       string
	dryRun     bool
	wait       time.Duration
	kubeconfig string
	timing     bool
	// from is the snapshot of another cluster from which the cluster is made.
	from string
	// memory is set if its machines continue with the memory in that snapshot.
	memory bool
	// cold is set if its machines boot even if there is a template.
	cold bool
	// owner is the process with which a temporary cluster ends; 0 for a cluster that stays.
	owner    int
	json     func() (bool, error)
	draining func() (daemonapi.Draining, error)
}

// Up returns the command `up`.
func Up(s cli.Streams) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up [NAME]",
		Short: "Create a cluster, or update it to match its configuration",
		Long: `Create the cluster NAME ("skiff" by default), or update it to match its configuration.
This also starts a stopped cluster, resumes a paused or saved one and replaces missing parts.
It is safe to run again at any time.

Settings are taken from, in order of precedence: flags, SKIFF_* environment variables,
the file given with -f, the cluster's current settings (only without -f), and defaults.
The file may be a configuration of kind (kind.x-k8s.io/v1alpha4): how each part is
converted, and which parts are not supported, is printed.

Addons, which are manifests and charts in the file, are applied once the cluster is ready.
Those that were removed from the file are deleted.

With --from, the new cluster begins with the nodes, disks and objects of a snapshot of another
cluster (see "skiff snapshot"), which may be running. Its nodes boot, and its authorities, keys,
tokens and ports of the host are its own. Flags cannot change the nodes of the snapshot.

With --with-memory, the machines continue where they were, if the snapshot has their memory. The
clone then begins with the authorities and keys of the other cluster, and replaces all of them in
the background within about ten minutes. Until then, each cluster accepts the other's credentials,
and "skiff status" says so.`,
		Example: `  # Create a cluster with one control plane and two workers
  skiff up

  # Create, or resize, a cluster named "ci"
  skiff up ci --workers 4 --memory 3Gi

  # Create a highly available cluster
  skiff up --control-planes 3

  # Show what a configuration file would change
  skiff up -f skiff.yaml --dry-run

  # Create a cluster from a configuration file of kind
  skiff up -f kind.yaml

  # Create the cluster "try" from the snapshot "before" of the cluster "dev"
  skiff up try --from dev/before`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runUp(cmd, s, args, o)
		},
	}
	settings.Flags(cmd.Flags(), cluster.Default())
	settings.Complete(cmd)
	cmd.Flags().StringVarP(&o.file, "file", "f", os.Getenv("SKIFF_FILE"), "configuration `file` (skiff.yaml, or one of kind); - reads standard input")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the plan without changing anything")
	cmd.Flags().DurationVar(&o.wait, "wait", 10*time.Minute, "how long to wait for all nodes to be Ready; 0 returns once the cluster is starting")
	cmd.Flags().StringVar(&o.kubeconfig, "kubeconfig", "", "merge into this `file` instead of your kubeconfig; \"none\" merges nowhere")
	cmd.Flags().BoolVar(&o.timing, "timing", false, "also print when each step of each node's start ended")
	fromFlags(cmd, &o.from, &o.memory)
	coldFlag(cmd, &o.cold)
	// For programs that use Skiff as a library: see the module in the directory skiff.
	cmd.Flags().IntVar(&o.owner, "owner", 0, "`process` with whose end the new cluster is deleted")
	_ = cmd.Flags().MarkHidden("owner")
	o.draining = cli.Draining(cmd)
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
	draining, err := o.draining()
	if err != nil {
		return err
	}
	clone, err := findClone(o)
	if err != nil {
		return err
	}
	resolved := func() (cluster.Spec, error) { return Resolve(cmd, s.In, args, o.file) }
	if clone != nil {
		resolved = func() (cluster.Spec, error) { return clone.resolve(cmd, args) }
	}
	spec, err := resolved()
	if err != nil {
		return err
	}
	c, h, err := clientFor(spec.Name, o.owner)
	if err != nil {
		return err
	}
	addons, err := check(cmd.Context(), c, spec)
	if err != nil {
		return err
	}
	fresh := clone == nil && isNew(c)
	if fresh && !o.cold {
		if clone, spec, err = fromTemplate(s, h, spec); err != nil {
			return err
		}
	}
	if o.dryRun {
		return showPlan(cmd.Context(), s, c, clone, spec, addons, asJSON)
	}
	warnOfDriver(s, c, spec)
	begun := time.Now()
	err = apply(cmd.Context(), s, c, clone, spec, addons, draining, o.wait, asJSON)
	if err != nil && !errors.Is(err, errNotWaited) {
		return err
	}
	waited := err == nil
	if waited && fresh && clone == nil && o.owner == 0 {
		defer makeTemplate(cmd.Context(), s, h, spec)
	}
	merged := mergeKubeconfig(cmd.Context(), s, c, h.Cluster(spec.Name), o.kubeconfig)
	if asJSON && o.timing && waited {
		return timingLine(s, offline.AllTimings(h.Cluster(spec.Name)))
	}
	if asJSON {
		return nil
	}
	if !waited {
		fmt.Fprintf(s.Out, "cluster %q is starting in the background; run `skiff status %s` to see its progress\n", spec.Name, spec.Name)
		if len(addons) > 0 {
			fmt.Fprintf(s.Out, "run `skiff up %s` again to apply its addons\n", spec.Name)
		}
		return nil
	}
	if err := summary(cmd.Context(), s, c, time.Since(begun), merged); err != nil || !o.timing {
		return err
	}
	fmt.Fprintln(s.Out)
	return showTimings(s, offline.AllTimings(h.Cluster(spec.Name)))
}

// clientFor returns a client for a cluster, which must be new if it belongs to a process.
func clientFor(name string, owner int) (*client.Client, home.Home, error) {
	switch {
	case owner == 0:
		return target.Client(name)
	case owner < 0 || errors.Is(syscall.Kill(owner, 0), syscall.ESRCH):
		return nil, "", cli.Invalid("", "invalid --owner: process %d does not exist", owner)
	}
	c, h, err := target.Owned(name, owner)
	if err != nil {
		return nil, "", err
	}
	return c, h, absent(h, name, "it would be deleted with its owner")
}

// absent returns an error if a cluster exists.
func absent(h home.Home, name, why string) error {
	if _, err := os.Stat(string(h.Cluster(name))); err == nil {
		return cli.Invalid("choose another name", "cluster %q already exists, and %s", name, why)
	}
	return nil
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

// Resolve returns the cluster that flags, environment, configuration file and the
// current cluster ask for, with what the host's environment adds.
func Resolve(cmd *cobra.Command, stdin io.Reader, args []string, path string) (cluster.Spec, error) {
	spec, err := configured(cmd, stdin, args, path)
	if err != nil {
		return spec, err
	}
	file := spec.Environment.File
	if path != "" && path != "-" {
		if file, err = filepath.Abs(path); err != nil {
			return spec, err
		}
	}
	spec.Environment, err = environment(spec.CABundle)
	spec.Environment.File = file
	return spec, err
}

// configured returns the cluster that flags, environment, configuration file and the
// current cluster ask for.
func configured(cmd *cobra.Command, stdin io.Reader, args []string, path string) (cluster.Spec, error) {
	file, base, err := readFile(path, stdin, cmd.ErrOrStderr())
	if err != nil {
		return cluster.Spec{}, err
	}
	spec, err := settings.Resolve(cmd.Flags(), file, base)
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

// readFile reads a configuration file of Skiff or of kind. base has the values of settings that
// the file does not set. How a file of kind is converted is written to remarks.
func readFile(path string, stdin io.Reader, remarks io.Writer) (file settings.File, base cluster.Spec, err error) {
	base = cluster.Default()
	if path == "" {
		return file, base, nil
	}
	content, place, err := settings.ReadFile(path, stdin)
	if err != nil {
		return file, base, err
	}
	if !kindconfig.Is(content) {
		file, err = settings.Parse(place, content)
		return file, base, err
	}
	base, all, err := kindconfig.Convert(content)
	if err != nil {
		return file, base, cli.Invalid("", "%s: %v", place, err)
	}
	for _, remark := range all {
		fmt.Fprintln(remarks, remark)
	}
	return file, base, nil
}

func showPlan(ctx context.Context, s cli.Streams, c *client.Client, clone *clone, spec cluster.Spec, addons []addon.Addon, asJSON bool) error {
	steps, err := c.Plan(ctx, spec)
	if err != nil {
		return err
	}
	if clone != nil {
		steps = cluster.PlanClone(clone.then, clone.origin, spec)
	}
	more, err := planAddons(ctx, c, addons)
	if err != nil {
		return err
	}
	steps = append(steps, more...)
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
	state := "is ready"
	if withoutNetwork(c, status) {
		state = "is running without a pod network"
	}
	fmt.Fprintf(s.Out, "cluster %q %s: %s, Kubernetes %s, in %.1f s", status.Name, state, cli.Count(len(status.Nodes), "node"), status.Kubernetes, took.Seconds())
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
	if withoutNetwork(c, status) {
		fmt.Fprintf(s.Out, "\nnetwork.cni is none, so nodes are NotReady until you install a pod network with \"kubectl apply\" or Helm; each node has its range of pod addresses in .spec.podCIDR\n")
	}
	return nil
}

// withoutNetwork reports whether nodes wait for a pod network that the user has to install.
func withoutNetwork(c *client.Client, status daemonapi.ClusterStatus) bool {
	spec, err := c.Spec()
	return err == nil && spec.Network.Without().PodNetwork && slices.ContainsFunc(status.Nodes, func(n daemonapi.NodeStatus) bool { return n.Ready != "True" })
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
