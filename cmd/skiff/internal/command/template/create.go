package template

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	command "github.com/skiff-dev/skiff/cmd/skiff/internal/command/cluster"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/settings"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/snapshot"
	"github.com/skiff-dev/skiff/vm/template"
)

// settle is how long a cluster that has become ready is left alone before its memory is kept, so
// that clusters which begin with it do not repeat the work that follows a start.
const settle = 10 * time.Second

// endLimit bounds how long the cluster of which a template is made may take to end.
const endLimit = 2 * time.Minute

// lowest is the priority of a process that makes a template in the background (nice(1)), and of
// everything that it starts.
const lowest = 19

func newCreate(s cli.Streams) *cobra.Command {
	var file string
	var low bool
	cmd := &cobra.Command{
		Use:   "create [CLUSTER]",
		Short: "Make the template of a cluster, which need not exist",
		Long: `Make the template of a cluster that "skiff up" would create, or has created, with the same
arguments. This creates a cluster of that shape, keeps its memory and disks, and deletes the
rest. Your clusters are not touched. An existing template stays as it is.`,
		Example: `  # Make the template of the default cluster
  skiff template create

  # Make that of clusters with four workers, before the first of them exists
  skiff template create --workers 4`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	settings.Flags(cmd.Flags(), cluster.Default())
	settings.Complete(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", os.Getenv("SKIFF_FILE"), "configuration `file` (skiff.yaml, or one of kind); - reads standard input")
	cmd.Flags().BoolVar(&low, "low-priority", false, "let everything else on this host go first")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		spec, err := command.Resolve(cmd, s.In, args, file)
		if err != nil {
			return err
		}
		if low {
			if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, lowest); err != nil {
				return fmt.Errorf("lower the priority: %w", err)
			}
		}
		return create(cmd.Context(), s, spec, inJSON)
	}
	return cmd
}

// create makes the template of the cluster spec.
func create(ctx context.Context, s cli.Streams, spec cluster.Spec, asJSON bool) error {
	space, err := target.TemplateSpace()
	if err != nil {
		return err
	}
	if space == 0 {
		return cli.Invalid("set "+target.TemplatesVariable+" to the space that they may take, such as 4Gi", "templates are turned off")
	}
	h, err := target.Home()
	if err != nil {
		return err
	}
	shape, unsuitable, err := target.ShapeOf(spec)
	switch {
	case err != nil:
		return err
	case unsuitable != "":
		return cli.Invalid("", "cluster %q cannot have a template: %s", spec.Name, unsuitable)
	}
	lock, err := h.AcquireTemplates()
	if errors.Is(err, home.ErrLocked) {
		return &daemonapi.Failure{Cause: "another process is making a template", Hint: "wait until it is done; \"skiff template list\" shows the templates"}
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()
	made, err := template.Read(h, shape.Key)
	if err == nil && !made.Expired(time.Now()) {
		return show(s, made, "exists already", asJSON)
	}
	if err := template.Clear(h, shape.Key); err != nil {
		return busy(err)
	}
	made, err = makeOne(ctx, s, h, shape, asJSON)
	if err != nil {
		removed := template.Remove(h, shape.Key)
		if errors.Is(err, context.Canceled) && removed == nil {
			return cli.Interrupted("interrupted; nothing of the template is left", "run the command again to make it")
		}
		return errors.Join(err, removed)
	}
	if err := discard(h); err != nil {
		return err
	}
	return show(s, made, "made", asJSON)
}

// busy explains an error that another process causes.
func busy(err error) error {
	if errors.Is(err, home.ErrLocked) {
		return &daemonapi.Failure{Cause: "an earlier attempt to make this template is still ending", Hint: "try again in a moment"}
	}
	return err
}

// makeOne makes the template of a shape, whose directory is empty.
func makeOne(ctx context.Context, s cli.Streams, h home.Home, shape target.Shape, asJSON bool) (made template.Template, err error) {
	c, err := target.TemplateClient(h, shape.Key)
	if err != nil {
		return made, err
	}
	// Its daemon must not take the ports of the web entry, which are for the user's clusters.
	web, err := h.Template(shape.Key).AcquireWeb()
	if err != nil {
		return made, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, end(ctx, c))
		}
		err = errors.Join(err, web.Release())
	}()
	spec := template.Shape(shape.Spec)
	err = s.Show(ctx, asJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
		// None of the operations is the last one for whoever reads the events.
		step := func(e daemonapi.Event) {
			if !e.Done {
				event(e)
			}
		}
		if err := c.Apply(ctx, spec, step); err != nil {
			return err
		}
		if err := pause.For(ctx, settle); err != nil {
			return err
		}
		if err := c.Snapshot(ctx, template.SnapshotName, step); err != nil {
			return err
		}
		_, err := c.Stop(ctx, daemonapi.StopRequest{Shutdown: true}, step)
		return err
	})
	if err != nil {
		return made, err
	}
	m, err := c.ReadSnapshot(template.SnapshotName)
	if err != nil {
		return made, err
	}
	if !m.Memory() {
		return made, &daemonapi.Failure{Cause: "the memory of the machines could not be kept" + because(m)}
	}
	return template.Complete(h, template.Template{
		Key: shape.Key, Shape: spec, Image: shape.Image.Digest, Kubernetes: shape.Image.Kubernetes,
	}, time.Now())
}

// because says why a snapshot has no memory, if that is known.
func because(m snapshot.Manifest) string {
	for _, one := range m.Machines {
		if one.NoMemory != "" {
			return ": " + one.NoMemory
		}
	}
	return ""
}

// end deletes a cluster of which no template was made, whose daemon may still be at work.
func end(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	return c.Down(ctx, daemonapi.DownRequest{Snapshots: true}, func(daemonapi.Event) {})
}

// discard removes the templates that are not used any more, or do not fit beside the new one.
func discard(h home.Home) error {
	waste, err := target.TemplateWaste(h)
	if err != nil {
		return err
	}
	for _, one := range waste {
		if err := template.Remove(h, one.Key); err != nil && !errors.Is(err, home.ErrLocked) && !errors.Is(err, template.ErrNone) {
			return err
		}
	}
	return nil
}

// show prints a template.
func show(s cli.Streams, t template.Template, what string, asJSON bool) error {
	if asJSON {
		return s.JSON(inJSON(t))
	}
	fmt.Fprintf(s.Out, "template %s %s: %s, Kubernetes %s, %s\n", t.Key, what, shapeOf(t.Shape), t.Kubernetes, cli.Bytes(t.Bytes))
	return nil
}
