// Package addon holds the commands that show the addons of a cluster.
package addon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/addon"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/kube/applyset"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// New returns the command `addon`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "addon",
		Aliases: []string{"addons"},
		Short:   "Show the addons of a cluster",
		Long: `Show the addons of a cluster: manifests and charts that "addons" in its configuration
file lists, and that "skiff up" applies.`,
		Example: `  # List the addons and their state
  skiff addon list`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newList(s))
	return cmd
}

// listed is an addon as the command prints it.
type listed struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	// State is "ready", "not ready", "incomplete" or "not applied".
	State   string            `json:"state"`
	Message string            `json:"message,omitempty"`
	Objects []applyset.Object `json:"objects"`
}

func newList(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the addons of a cluster that is running, and whether they are ready",
		Example: `  # List the addons of the default cluster
  skiff addon list

  # Print those of the cluster "ci", with all of their objects, as JSON
  skiff addon list -c ci -o json`,
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
		all, err := list(cmd.Context(), c)
		if err != nil {
			return explain(clusterName, err)
		}
		if inJSON {
			return s.JSON(all)
		}
		if len(all) == 0 {
			fmt.Fprintln(s.Err, "The cluster has no addons.")
			return nil
		}
		return s.Table(rows(all))
	}
	return cmd
}

// list returns the addons in a cluster and those that were configured last.
func list(ctx context.Context, c *client.Client) ([]listed, error) {
	kubeconfig, err := c.Kubeconfig(ctx)
	if err != nil {
		return nil, err
	}
	cluster, err := addon.Connect(kubeconfig)
	if err != nil {
		return nil, err
	}
	known, err := cluster.List(ctx)
	if err != nil {
		return nil, err
	}
	all := []listed{}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		objects, err := cluster.Objects(ctx, known[name])
		if err != nil {
			return nil, err
		}
		all = append(all, summary(known[name], objects))
	}
	spec, err := c.Spec()
	if err != nil {
		return nil, err
	}
	for _, a := range spec.Addons {
		if _, applied := known[a.Name]; !applied {
			all = append(all, listed{Name: a.Name, Source: a.Path(), State: "not applied", Objects: []applyset.Object{}})
		}
	}
	return all, nil
}

// summary returns an addon with the state that follows from its objects.
func summary(r applyset.Recorded, objects []applyset.Object) listed {
	l := listed{Name: r.Name, Source: r.Source, State: "ready", Objects: objects}
	if i := slices.IndexFunc(objects, func(o applyset.Object) bool { return !o.Ready }); i >= 0 {
		l.State = "not ready"
		l.Message = fmt.Sprintf("%s %s: %s", objects[i].Kind, objects[i].Name, objects[i].Message)
	}
	if r.Digest == "" {
		l.State = "incomplete"
	}
	return l
}

func rows(all []listed) [][]string {
	table := [][]string{{"NAME", "SOURCE", "OBJECTS", "STATE", "MESSAGE"}}
	for _, l := range all {
		table = append(table, []string{l.Name, l.Source, strconv.Itoa(len(l.Objects)), l.State, l.Message})
	}
	return table
}

// explain returns the error of a request to a cluster, for users.
func explain(name string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &daemonapi.Failure{Cause: fmt.Sprintf("cluster %q: %s", name, kube.Reason(err)), Hint: fmt.Sprintf("\"skiff status %s\" shows whether it is running", name)}
}
