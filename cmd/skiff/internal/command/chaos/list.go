package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func newList(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the faults that are active",
		Example: `  # List the faults of the default cluster
  skiff chaos list

  # Print those of the cluster "ci" as JSON
  skiff chaos list -c ci -o json`,
		Args: cli.Arguments(0, 0),
	}
	name := target.Flag(cmd)
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, clusterName, err := target.OpenExisting(*name)
		if err != nil {
			return err
		}
		active, err := c.Faults(cmd.Context())
		switch {
		case err != nil:
			return target.Explain(clusterName, err)
		case inJSON:
			return s.JSON(active)
		case len(active) == 0:
			fmt.Fprintln(s.Err, "No faults are active.")
			return nil
		}
		return s.Table(rows(active, time.Now()))
	}
	return cmd
}

// rows returns the table of faults at the time now.
func rows(active []daemonapi.Fault, now time.Time) [][]string {
	rows := [][]string{{"FAULT", "NODES", "EFFECT", "LEFT", "MESSAGE"}}
	for _, f := range active {
		left := max(f.Until.Sub(now), 0).Round(time.Second).String()
		message := f.Warning
		if f.Problem != "" {
			message = "cannot be ended: " + f.Problem
		}
		rows = append(rows, []string{f.ID, strings.Join(f.Nodes, ","), f.Effect(), left, message})
	}
	return rows
}

func newClear(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "clear [FAULT...]",
		Short: "End faults now",
		Long: `End the faults with the given names, as "skiff chaos list" shows them, or all faults.
Machines that were killed are started; use "skiff up" to wait until their nodes are Ready.
Without active faults, nothing is done.`,
		Example: `  # End all faults
  skiff chaos clear

  # End one fault
  skiff chaos clear kill-1`,
		Args: cli.Arguments(0, -1),
		ValidArgsFunction: func(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return completeFaults(cmd, given), cobra.ShellCompDirectiveNoFileComp
		},
	}
	name := target.Flag(cmd)
	asJSON := cli.Output(cmd)
	cli.Yes(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, clusterName, err := target.OpenExisting(*name)
		if err != nil {
			return err
		}
		ended, err := c.ClearFaults(cmd.Context(), args)
		switch {
		case err != nil:
			return target.Explain(clusterName, err)
		case inJSON:
			return s.JSON(ended)
		case len(ended) == 0:
			fmt.Fprintln(s.Err, "No faults are active.")
		}
		for _, f := range ended {
			fmt.Fprintf(s.Out, "%s: ended on %s\n", f.ID, strings.Join(f.Nodes, ", "))
		}
		return nil
	}
	return cmd
}

// waitPeriod is how often a command looks whether its fault has ended.
const waitPeriod = 500 * time.Millisecond

// await waits until a fault is over.
func await(ctx context.Context, c *client.Client, clusterName string, fault daemonapi.Fault) error {
	for {
		active, err := c.Faults(ctx)
		switch i := slices.IndexFunc(active, func(f daemonapi.Fault) bool { return f.ID == fault.ID && f.Began.Equal(fault.Began) }); {
		case errors.Is(err, client.ErrNoDaemon):
			return &daemonapi.Failure{Cause: fmt.Sprintf("cluster %q stopped while the fault %s was active", clusterName, fault.ID)}
		case err != nil && ctx.Err() == nil:
			return target.Explain(clusterName, err)
		case err == nil && i < 0:
			return nil
		case err == nil && active[i].Problem != "":
			return &daemonapi.Failure{Cause: fmt.Sprintf("the fault %s cannot be ended: %s", fault.ID, active[i].Problem), Hint: "run `skiff up` to repair the cluster"}
		}
		if pause.For(ctx, waitPeriod) != nil {
			return cli.Interrupted(
				fmt.Sprintf("interrupted; the fault %s lasts until %s", fault.ID, fault.Until.Local().Format(time.TimeOnly)),
				fmt.Sprintf("run `skiff chaos clear %s` to end it", fault.ID),
			)
		}
	}
}

func completeZones(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return target.CompleteFrom(cmd, given, func(status daemonapi.ClusterStatus) []string {
		var zones []string
		for _, n := range status.Nodes {
			zones = append(zones, n.Zone)
		}
		slices.Sort(zones)
		return slices.Compact(zones)
	})
}

// completeFaults completes the names of active faults.
func completeFaults(cmd *cobra.Command, given []string) []cobra.Completion {
	ctx, cancel := context.WithTimeout(cmd.Context(), target.CompletionTimeout)
	defer cancel()
	c, _, err := target.OpenExisting(cmd.Flag("cluster").Value.String())
	if err != nil {
		return nil
	}
	active, err := c.Faults(ctx)
	if err != nil {
		return nil
	}
	var ids []cobra.Completion
	for _, f := range active {
		if !slices.Contains(given, f.ID) {
			ids = append(ids, f.ID)
		}
	}
	return ids
}
