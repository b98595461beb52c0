// Package dashboard holds the command `dashboard`, and what the daemon needs to serve
// the dashboard.
package dashboard

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/browser"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

type options struct {
	user
	port      int
	noBrowser bool
}

// New returns the command `dashboard`.
func New(s cli.Streams) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "dashboard [NAME]",
		Short: "Open a cluster's dashboard in the browser",
		Long: `Open a cluster's dashboard in the browser: the cluster and its machines, everything in
Kubernetes, shells, logs and graphs.

The command prints a link that works once, within a minute, and opens it in your browser.
The dashboard is served on this host's loopback address only, until its last session has
ended: an hour after its last use, after twelve hours, or when the cluster stops.

The dashboard acts as the user of your current kubeconfig context if that belongs to the
cluster, and otherwise as the cluster's administrator. With the context of another user it
shows what that user may see. In a terminal, use "skiff ui".`,
		Example: `  # Open the default cluster's dashboard
  skiff dashboard

  # See what a user may do
  skiff dashboard --as jane --as-group dev

  # Use the credentials of another context, on a fixed port
  skiff dashboard ci --context jane --port 8800

  # Print the link only, as for a browser on another machine (ssh -L 8800:127.0.0.1:8800)
  skiff dashboard --no-browser --port 8800`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cmd.Flags().StringVar(&o.context, "context", "", "act as the user of this `context` of your kubeconfig")
	cmd.Flags().StringVar(&o.as, "as", "", "act as this `user`, by impersonation")
	cmd.Flags().StringArrayVar(&o.groups, "as-group", nil, "with --as: a `group` of the user; may be repeated")
	cmd.Flags().IntVar(&o.port, "port", 0, "`port` of the dashboard on this host (default: any free one)")
	cmd.Flags().BoolVar(&o.noBrowser, "no-browser", false, "print the link only")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if err := o.check(); err != nil {
			return err
		}
		return open(cmd.Context(), s, args, o, inJSON)
	}
	return cmd
}

func (o options) check() error {
	if o.port < 0 || o.port > 65535 {
		return cli.Invalid("use a number from 1 to 65535, or 0 for any free port", "invalid --port %d", o.port)
	}
	return o.user.check()
}

func open(ctx context.Context, s cli.Streams, args []string, o options, asJSON bool) error {
	c, name, err := target.OpenExisting(cli.First(args))
	if err != nil {
		return err
	}
	admin, err := c.Kubeconfig(ctx)
	if err != nil {
		return target.Explain(name, err)
	}
	credentials, err := o.user.kubeconfig(name, admin)
	if err != nil {
		return err
	}
	request := daemonapi.DashboardRequest{Kubeconfig: credentials, Port: o.port}
	var noPage error // why the browser is not opened
	if !o.noBrowser && !asJSON {
		request.Page, noPage = browser.Page(ctx)
	}
	link, err := c.Dashboard(ctx, request)
	if err != nil {
		return target.Explain(name, err)
	}
	if asJSON {
		return s.JSON(link)
	}
	fmt.Fprintf(s.Text(), "The dashboard of cluster %q, as %s:\n\n  %s\n\n", name, link.User, link.URL)
	fmt.Fprintf(s.Out, "The link works once, until %s.\n", link.Expires.Local().Format(time.TimeOnly))
	if o.noBrowser {
		return nil
	}
	// The link is a password: it must not be an argument of a program, which every user of
	// this host can see.
	if noPage == nil {
		noPage = browser.OpenPage(ctx, request.Page)
	}
	if noPage != nil {
		fmt.Fprintf(s.Err, "%s: open the link yourself\n", cli.OneLine(noPage.Error()))
	}
	return nil
}
