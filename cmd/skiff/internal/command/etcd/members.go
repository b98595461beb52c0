package etcd

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

// state describes a member in one word, or says why it does not answer.
func state(m controlapi.EtcdMember) string {
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
		var members []controlapi.EtcdMember
		if err := onAny(cmd.Context(), args, func(_ string, c controlapi.Client) (err error) {
			members, err = c.Members(cmd.Context())
			return err
		}); err != nil {
			return err
		}
		if inJSON {
			return json.NewEncoder(s.Out).Encode(members)
		}
		return printMembers(s.Text(), members)
	}
	return cmd
}

func printMembers(out io.Writer, members []controlapi.EtcdMember) error {
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
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.1f MiB\t%.1f MiB\t%.0f MiB\t%s\n", name, m.Address, state(m), m.RaftIndex,
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
