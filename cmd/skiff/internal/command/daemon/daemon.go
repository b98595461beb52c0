// Package daemon holds the hidden command `daemon`.
package daemon

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command/dashboard"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	registry "github.com/skiff-dev/skiff/vm/registry/client"
)

// New returns the hidden command `daemon`, which the client starts for each
// cluster.
func New(s cli.Streams) *cobra.Command {
	var config daemon.Config
	var dir string
	cmd := &cobra.Command{
		Use:    "daemon",
		Short:  "Run a cluster's daemon in the foreground",
		Hidden: true,
		Args:   cli.Arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			config.Home = home.Home(dir)
			command, err := target.RegistryCommand(config.Home)
			if err != nil {
				return err
			}
			config.Registry = registry.New(config.Home, command)
			if config.Logs, err = target.LogsCommand(); err != nil {
				return err
			}
			config.Services = func(ctx context.Context, name string) (daemonapi.Services, error) {
				return client.New(client.Config{Home: config.Home, Name: name}).Services(ctx)
			}
			config.Dashboard = dashboard.Serve(config.Home, config.Name)
			return daemon.Run(cmd.Context(), config)
		},
	}
	cmd.Flags().StringVar(&dir, "home", "", "Skiff's home `directory`")
	cmd.Flags().StringVar(&config.Name, "name", "", "cluster `name`")
	cmd.Flags().StringVar(&config.ImageDir, "image-dir", "", "node image `directory`")
	cmd.Flags().IntVar(&config.Owner, "owner", 0, "`process` whose end removes the cluster")
	for _, name := range []string{"home", "name", "image-dir"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}
