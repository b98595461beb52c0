package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/owner"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/template"
)

// coldFlag adds the flag --cold.
func coldFlag(cmd *cobra.Command, cold *bool) {
	cmd.Flags().BoolVar(cold, "cold", false, `boot the machines of a new cluster even if there is a template (see "skiff template")`)
}

// isNew reports whether a cluster does not exist.
func isNew(c *client.Client) bool {
	_, err := c.Spec()
	return errors.Is(err, client.ErrNoCluster)
}

// fromTemplate returns what makes a new cluster from its template, nil if it has none, and its
// configuration. A template that cannot be used is reported.
func fromTemplate(s cli.Streams, h home.Home, spec cluster.Spec) (*clone, cluster.Spec, error) {
	space, err := target.TemplateSpace()
	if err != nil || space == 0 {
		return nil, spec, err
	}
	shape, unsuitable, err := target.ShapeOf(spec)
	if err != nil || unsuitable != "" {
		return nil, spec, nil //nolint:nilerr // what is wrong with the image is reported by what needs it
	}
	found, err := template.Read(h, shape.Key)
	if errors.Is(err, template.ErrNone) {
		return nil, spec, nil
	}
	var made clone
	if err == nil {
		made.origin, made.then, err = found.Origin(h)
	}
	if err == nil && found.Expired(time.Now()) {
		err = errors.New("it is too old")
	}
	if err == nil {
		err = errors.Join(cluster.CheckClone(made.then, shape.Spec)...)
	}
	if err != nil {
		fmt.Fprintf(s.Err, "skiff: warning: the template %s is not used: %s\n", shape.Key, cli.OneLine(err.Error()))
		return nil, spec, nil
	}
	made.memory, made.boots = true, true
	return &made, shape.Spec, nil
}

// makeTemplate makes the template of a cluster in the background, unless there is one, it can
// have none, or this host has no room for another such cluster for a while.
func makeTemplate(ctx context.Context, s cli.Streams, h home.Home, spec cluster.Spec) {
	space, err := target.TemplateSpace()
	if err != nil || space == 0 || os.Getenv("CI") != "" && os.Getenv(target.TemplatesVariable) == "" {
		return
	}
	shape, unsuitable, err := target.ShapeOf(spec)
	if err != nil || unsuitable != "" || h.TemplatesHeld() {
		return
	}
	if made, err := template.Read(h, shape.Key); err == nil && !made.Expired(time.Now()) {
		return
	}
	needed := 0
	for _, n := range cluster.Nodes(spec, nil) {
		needed += n.Size.MemoryMiB
	}
	if offline.AvailableMiB() < needed {
		return
	}
	if err := startMaking(ctx, h, spec.Name); err != nil {
		fmt.Fprintf(s.Err, "skiff: warning: the template of this cluster is not being made: %s\n", err)
		return
	}
	fmt.Fprintln(s.Err, "a template is being made in the background, so that the next cluster like this one starts in seconds; see `skiff template --help`")
}

// startMaking runs the command that makes the template of a cluster in a session of its own,
// with low priority.
func startMaking(ctx context.Context, h home.Home, name string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if err := owner.MkdirAll(h.Templates(), 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(h.TemplatesLog(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, "template", "create", "--low-priority", "--file=", name)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
