// Package services holds the command `services`.
package services

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// New returns the command `services`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "services [CLUSTER]",
		Aliases: []string{"service"},
		Short:   "Show which services this host reaches, and where",
		Long: `Show which services of a cluster this host reaches, and at which addresses.

A service of type LoadBalancer answers on 127.0.0.1 at its own port or, if that is
taken, at the next free one, and on Linux also at a loopback address of its own.
Ingresses and HTTPRoutes are listed with their URLs. Ports that were opened with "skiff port add" or in skiff.yaml are listed as well.`,
		Example: `  # Show the services of the default cluster
  skiff services

  # Show those of one namespace
  skiff services -n shop

  # Print the first address of each service of the cluster "ci"
  skiff services ci -o json | jq -r '.services[].ports[].host[0]'`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	namespace := cmd.Flags().StringP("namespace", "n", "", "show the services of this namespace only")
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, name, err := target.OpenExisting(cli.First(args))
		if err != nil {
			return err
		}
		all, err := c.Services(cmd.Context())
		if err != nil {
			return target.Explain(name, err)
		}
		all = within(all, *namespace)
		if inJSON {
			return s.JSON(all)
		}
		if all.Web != "" {
			fmt.Fprintf(s.Text(), "Every Service answers over HTTP at %s\n                     and over HTTPS at %s\n\n", all.Web, all.WebTLS)
		}
		if all.Tunnel != "" {
			fmt.Fprintf(s.Text(), "This host reaches the addresses of nodes, pods and services, through %s.\n\n", all.Tunnel)
		}
		if len(all.Services)+len(all.Ingresses)+len(all.HTTPRoutes)+len(all.Ports) == 0 {
			fmt.Fprintln(s.Err, "No load balancers, Ingresses, HTTPRoutes or open ports: create a Service of type LoadBalancer, or open a port with `skiff port add`.")
			return nil
		}
		return s.Table(rows(all))
	}
	return cmd
}

// within returns what belongs to a namespace, all if it is empty. Ports belong to
// the cluster.
func within(all daemonapi.Services, namespace string) daemonapi.Services {
	kept := all
	kept.Services, kept.Ports = []daemonapi.Service{}, append([]daemonapi.Port{}, all.Ports...)
	kept.Names = nil
	kept.Ingresses, kept.HTTPRoutes = inside(all.Ingresses, namespace), inside(all.HTTPRoutes, namespace)
	for _, service := range all.Services {
		if namespace == "" || service.Namespace == namespace {
			kept.Services = append(kept.Services, service)
		}
	}
	for _, name := range all.Names {
		if namespace == "" || name.Namespace == namespace {
			kept.Names = append(kept.Names, name)
		}
	}
	return kept
}

// inside returns the Ingresses of a namespace, all if it is empty.
func inside(all []daemonapi.Ingress, namespace string) []daemonapi.Ingress {
	var kept []daemonapi.Ingress
	for _, i := range all {
		if namespace == "" || i.Namespace == namespace {
			kept = append(kept, i)
		}
	}
	return kept
}

// rows returns the table of what is reachable, with a row for each port.
func rows(all daemonapi.Services) [][]string {
	table := [][]string{{"NAMESPACE", "SERVICE", "TYPE", "EXTERNAL-IP", "PORT", "ON THIS HOST", "MESSAGE"}}
	for _, service := range all.Services {
		for _, p := range service.Ports {
			notes := []string{service.Message, p.Problem}
			if !service.Ready {
				notes = append(notes, "no endpoint is ready")
			}
			notes = slices.DeleteFunc(notes, func(note string) bool { return note == "" })
			table = append(table, []string{
				service.Namespace, service.Name, service.Type, cmp.Or(strings.Join(service.External, ","), "-"),
				fmt.Sprintf("%d/%s", p.Port, p.Protocol), cmp.Or(strings.Join(p.Host, ", "), "-"), strings.Join(notes, "; "),
			})
		}
	}
	add := func(kind string, ingresses []daemonapi.Ingress) {
		for _, i := range ingresses {
			table = append(table, []string{i.Namespace, i.Name, kind, "-", "HTTP", cmp.Or(strings.Join(i.URLs, ", "), "-"), i.Message})
		}
	}
	add("Ingress", all.Ingresses)
	add("HTTPRoute", all.HTTPRoutes)
	for _, p := range all.Ports {
		table = append(table, []string{"-", p.Target, "Port", "-", p.Protocol, cmp.Or(p.Host, "-"), p.Problem})
	}
	return table
}
