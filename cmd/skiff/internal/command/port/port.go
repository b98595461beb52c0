// Package port holds the commands that open ports of this host into a cluster.
package port

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// New returns the command `port`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "port",
		Aliases: []string{"ports"},
		Short:   "Open ports of this host that lead into the cluster",
		Example: `  # Make port 80 of the service "web" answer on localhost:8080
  skiff port add 8080:svc/web:80

  # List the open ports
  skiff port list`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newAdd(s), newList(s), newRemove(s))
	return cmd
}

// forms documents how a port is written.
const forms = `A port is written [ADDRESS:]HOSTPORT:TARGET[/udp]. TARGET is one of

  svc/NAME:PORT    a service; PORT is a number or the name of a port
  pod/NAME:PORT    a pod; it is found again when it is replaced by one of the same name
  node:PORT        any node that is Ready, for NodePorts and host ports; node/NAME:PORT
                   is a certain one

with NAMESPACE/ before NAME if it is not the one of -n. PORT is HOSTPORT if it is
missing. Nothing but this host reaches the port, unless ADDRESS is an address of one of
its networks, or 0.0.0.0 for all of them.`

func newAdd(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add PORT...",
		Short: "Open ports while the cluster is running",
		Long: `Open ports of this host that lead into the cluster. They stay open when the cluster is
stopped and started again. "skiff up" with a configuration file that lists ports opens
those instead.

` + forms,
		Example: `  # Make port 80 of the service "web" answer on localhost:8080
  skiff port add 8080:svc/web:80

  # Reach a database's pod and a NodePort
  skiff port add 5432:pod/db-0 30080:node

  # Let other hosts use the service "web" in the namespace "shop"
  skiff port add 0.0.0.0:8080:svc/shop/web:80

  # Forward UDP
  skiff port add -n kube-system 5353:svc/kube-dns:53/udp`,
		Args:              cli.Arguments(1, -1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	return change(s, cmd, func(ports []string) daemonapi.PortChange { return daemonapi.PortChange{Add: ports} })
}

func newRemove(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove PORT...",
		Aliases: []string{"rm"},
		Short:   "Close ports and end their connections",
		Long: `Close ports that "skiff port list" shows, and end their connections. A port is written as
it was opened.`,
		Example: `  # Close a port
  skiff port remove 8080:svc/web:80`,
		Args: cli.Arguments(1, -1),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return open(cmd), cobra.ShellCompDirectiveNoFileComp
		},
	}
	return change(s, cmd, func(ports []string) daemonapi.PortChange { return daemonapi.PortChange{Remove: ports} })
}

// change makes a command that changes the open ports.
func change(s cli.Streams, cmd *cobra.Command, of func([]string) daemonapi.PortChange) *cobra.Command {
	name := target.Flag(cmd)
	namespace := cmd.Flags().StringP("namespace", "n", "", `namespace of services and pods that are named without one (default "default")`)
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		var ports []string
		for _, arg := range args {
			p, err := cluster.ParsePort(arg, *namespace)
			if err != nil {
				return cli.Invalid(fmt.Sprintf("run `%s --help` for the forms of a port", cmd.CommandPath()), "%s", err)
			}
			ports = append(ports, p.String())
		}
		c, clusterName, err := target.OpenExisting(*name)
		if err != nil {
			return err
		}
		all, err := c.ChangePorts(cmd.Context(), of(ports))
		if err != nil {
			return target.Explain(clusterName, err)
		}
		return show(s, inJSON, all.Ports)
	}
	return cmd
}

func newList(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the open ports",
		Example: `  # List the open ports of the default cluster
  skiff port list

  # Print those of the cluster "ci" as JSON
  skiff port list -c ci -o json`,
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
		all, err := c.Services(cmd.Context())
		if err != nil {
			return target.Explain(clusterName, err)
		}
		return show(s, inJSON, all.Ports)
	}
	return cmd
}

func show(s cli.Streams, inJSON bool, ports []daemonapi.Port) error {
	if inJSON {
		return s.JSON(append([]daemonapi.Port{}, ports...))
	}
	if len(ports) == 0 {
		fmt.Fprintln(s.Err, "No ports are open.")
		return nil
	}
	return s.Table(rows(ports))
}

// rows returns the table of ports.
func rows(ports []daemonapi.Port) [][]string {
	rows := [][]string{{"PORT", "ON THIS HOST", "PROTOCOL", "MESSAGE"}}
	for _, p := range ports {
		rows = append(rows, []string{p.Port, cmp.Or(p.Host, "-"), strings.ToUpper(p.Protocol), p.Problem})
	}
	return rows
}

// open completes the open ports.
func open(cmd *cobra.Command) []cobra.Completion {
	ctx, cancel := context.WithTimeout(cmd.Context(), target.CompletionTimeout)
	defer cancel()
	c, _, err := target.OpenExisting(cmd.Flag("cluster").Value.String())
	if err != nil {
		return nil
	}
	all, err := c.Services(ctx)
	if err != nil {
		return nil
	}
	var ports []cobra.Completion
	for _, p := range all.Ports {
		ports = append(ports, p.Port)
	}
	return ports
}
