package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
)

// Member is the status of a member as the tool reports it: MemberStatus of
// controlplane/etcd.
type Member struct {
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

func (m Member) state() string {
	switch {
	case m.Error != "":
		return "not responding: " + remote.LastLine(m.Error)
	case m.Learner:
		return "learner"
	case m.Leader:
		return "leader"
	default:
		return "follower"
	}
}

// Members returns the status of all members of a cluster.
func Members(ctx context.Context, cluster string) ([]Member, error) {
	text, err := onAny(ctx, cluster, "members")
	if err != nil {
		return nil, err
	}
	var members []Member
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return nil, fmt.Errorf("read the members: %w", err)
	}
	return members, nil
}

func newMembers(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members [CLUSTER]",
		Short: "Show the members, their database sizes and their alarms",
		Example: `  # Show the members of the default cluster
  skiff etcd members

  # Print those of the cluster "ci" as JSON
  skiff etcd members ci -o json`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		text, err := onAny(cmd.Context(), cli.First(args), "members")
		if err != nil {
			return err
		}
		if inJSON {
			_, err := io.WriteString(s.Out, text)
			return err
		}
		var members []Member
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			return fmt.Errorf("read the members: %w", err)
		}
		return printMembers(s.Out, members)
	}
	return cmd
}

func printMembers(out io.Writer, members []Member) error {
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
