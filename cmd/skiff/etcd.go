package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/daemon/client"
)

// etcdTool calls the tool for etcd in a control plane's node.
func etcdTool(args ...string) []string {
	return append([]string{"/usr/bin/skiff-controlplane", "etcd"}, args...)
}

func (a *app) etcd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "etcd",
		Short: "Manage a cluster's etcd database",
		Example: `  # Show the members of the default cluster
  skiff etcd members

  # Back up the database
  skiff etcd snapshot backup.db`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.etcdMembers(), a.etcdSnapshot(), a.etcdRestore(), a.etcdDefrag())
	return cmd
}

// controlPlanes opens a cluster and lists its control planes.
func (a *app) controlPlanes(ctx context.Context, name string) (*client.Client, []string, error) {
	c, nodes, err := a.nodes(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	var planes []string
	for _, n := range nodes {
		if strings.HasPrefix(n, string(nodeconfig.RoleControlPlane)+"-") {
			planes = append(planes, n)
		}
	}
	return c, planes, nil
}

// onAny runs the tool on the first control plane where it works.
func (a *app) onAny(ctx context.Context, name string, args ...string) (string, error) {
	c, planes, err := a.controlPlanes(ctx, name)
	if err != nil {
		return "", err
	}
	var failed error
	for _, n := range planes {
		out, err := capture(ctx, c, n, strings.NewReader(""), etcdTool(args...)...)
		if err == nil {
			return out, nil
		}
		failed = errors.Join(failed, err)
	}
	return "", failed
}

// etcdMember is what the tool says of a member; package etcd's MemberStatus.
type etcdMember struct {
	Name          string   `json:"name"`
	Address       string   `json:"address"`
	Learner       bool     `json:"learner"`
	Leader        bool     `json:"leader"`
	Error         string   `json:"error"`
	DatabaseBytes int64    `json:"databaseBytes"`
	InUseBytes    int64    `json:"inUseBytes"`
	QuotaBytes    int64    `json:"quotaBytes"`
	RaftIndex     uint64   `json:"raftIndex"`
	Alarms        []string `json:"alarms"`
}

func (m etcdMember) state() string {
	switch {
	case m.Error != "":
		return "not responding: " + lastLine(m.Error)
	case m.Learner:
		return "learner"
	case m.Leader:
		return "leader"
	default:
		return "follower"
	}
}

func (a *app) etcdMembers() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members [CLUSTER]",
		Short: "Show the members, their database sizes and their alarms",
		Example: `  # Show the members of the default cluster
  skiff etcd members

  # Print those of the cluster "ci" as JSON
  skiff etcd members ci -o json`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeClusterArgument,
	}
	asJSON := output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		text, err := a.onAny(cmd.Context(), first(args), "members")
		if err != nil {
			return err
		}
		if inJSON {
			_, err := io.WriteString(a.stdout, text)
			return err
		}
		var members []etcdMember
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			return fmt.Errorf("read the members: %w", err)
		}
		return printMembers(a.stdout, members)
	}
	return cmd
}

func printMembers(out io.Writer, members []etcdMember) error {
	const mebibyte = 1 << 20
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MEMBER\tADDRESS\tSTATE\tRAFT INDEX\tDATABASE\tIN USE\tQUOTA\tALARMS")
	full := false
	for _, m := range members {
		name, alarms := m.Name, strings.Join(m.Alarms, ",")
		if name == "" {
			name = "(not started)"
		}
		if alarms == "" {
			alarms = "-"
		} else {
			full = true
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.1f MiB\t%.1f MiB\t%.0f MiB\t%s\n", name, m.Address, m.state(), m.RaftIndex,
			float64(m.DatabaseBytes)/mebibyte, float64(m.InUseBytes)/mebibyte, float64(m.QuotaBytes)/mebibyte, alarms)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if full {
		fmt.Fprintln(out, "\nThe database is full and rejects writes: delete objects you do not need, then run `skiff etcd defrag`.")
	}
	return nil
}

func (a *app) etcdSnapshot() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot FILE",
		Short: "Save a snapshot of the database to a file on this host",
		Example: `  # Save a snapshot of the default cluster
  skiff etcd snapshot before-upgrade.db

  # Save one of the cluster "ci"
  skiff etcd snapshot -c ci backup.db`,
		Args: arguments(1, 1),
	}
	name := a.clusterFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, planes, err := a.controlPlanes(cmd.Context(), *name)
		if err != nil {
			return err
		}
		var failed error
		for _, n := range planes {
			size, err := snapshotInto(cmd.Context(), c, n, args[0])
			if err == nil {
				fmt.Fprintf(a.stdout, "saved %s (%.1f MiB, taken on %s)\n", args[0], float64(size)/(1<<20), n)
				return nil
			}
			failed = errors.Join(failed, err)
		}
		return failed
	}
	return cmd
}

// snapshotInto writes the file whole or not at all: it holds all of the
// cluster, so it is its owner's alone.
func snapshotInto(ctx context.Context, c *client.Client, node, path string) (size int64, err error) {
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return 0, fmt.Errorf("write the snapshot: %w", err)
	}
	defer f.Discard()
	var failure strings.Builder
	code, err := c.Node(node).Exec(ctx, nodeapi.ExecRequest{Args: etcdTool("snapshot")}, client.Streams{
		Stdin: strings.NewReader(""), Stdout: f, Stderr: &limited{&failure},
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("take a snapshot on %s: %s", node, lastLine(failure.String()))
	}
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("write the snapshot: %w", err)
	}
	if err := f.Commit(); err != nil {
		return 0, fmt.Errorf("write the snapshot: %w", err)
	}
	return info.Size(), nil
}

func (a *app) etcdRestore() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the database with a snapshot",
		Long: `Replace the database with a snapshot. The cluster may have any number of control planes:
the first one restarts with the snapshot and the others join it. The API is unavailable
for a few seconds. The previous database stays on the first control plane until the next
restore. All objects return to their state at the time of the snapshot, and the workloads
on the nodes follow.`,
		Example: `  # Restore the default cluster
  skiff etcd restore backup.db --yes`,
		Args: arguments(1, 1),
	}
	name := a.clusterFlag(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "confirm that everything written since the snapshot is lost")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !yes {
			return invalid("add --yes to confirm", "a restore discards everything written since the snapshot")
		}
		f, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("read the snapshot: %w", err)
		}
		defer f.Close()
		c, planes, err := a.controlPlanes(cmd.Context(), *name)
		if err != nil {
			return err
		}
		// The snapshot may hold secrets under a key that was rotated since.
		if err := c.ReadmitKeys(cmd.Context()); err != nil {
			return err
		}
		for i, n := range planes {
			request, in := etcdTool("restore"), io.Reader(f)
			if i > 0 {
				request, in = etcdTool("rejoin", planes[0]), strings.NewReader("")
			}
			if _, err := capture(cmd.Context(), c, n, in, request...); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "%s is restarting\n", n)
		}
		return nil
	}
	return cmd
}

func (a *app) etcdDefrag() *cobra.Command {
	return &cobra.Command{
		Use:   "defrag [CLUSTER]",
		Short: "Release unused database space and clear the alarm of a full database",
		Example: `  # Defragment the default cluster's database
  skiff etcd defrag`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeClusterArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := a.onAny(cmd.Context(), first(args), "defrag"); err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, "database defragmented")
			return nil
		},
	}
}
