// Package registry holds the commands `registry` and `prune`.
package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/registry"
	"github.com/skiff-dev/skiff/vm/registry/client"
)

// New returns the command `registry`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Manage the registry that all clusters share",
		Long: `Manage the registry that all of your clusters share. Push images to it on this host, at
localhost:5001 unless that port is taken, and use the same names in pods. It also keeps the
images that nodes pull from other registries, so each is downloaded once. It runs while a
cluster uses it, and what it stores outlives all clusters.`,
		Example: `  # Push an image, and run it
  docker tag app:1 localhost:5001/app:1
  docker push localhost:5001/app:1
  kubectl create deployment app --image localhost:5001/app:1

  # Show where to push, who uses the registry, and how large it is
  skiff registry status

  # Run it without a cluster, on another port
  skiff registry start --port 5555`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newStart(s), newStop(s), newStatus(s), newList(s), newLogs(s), newServe())
	return cmd
}

// connect returns a client of the user's registry.
func connect() (*client.Client, home.Registry, error) {
	h, err := target.Home()
	if err != nil {
		return nil, "", err
	}
	command, err := target.RegistryCommand(h)
	if err != nil {
		return nil, "", err
	}
	return client.New(h, command), h.Registry(), nil
}

// explain adds a hint to an error of the client.
func explain(err error) error {
	if errors.Is(err, client.ErrNotRunning) {
		return &daemonapi.Failure{Cause: "the registry is not running", Hint: "run `skiff registry start`"}
	}
	return err
}

// show makes cmd print what ask returns, as a table or as JSON.
func show[T any](s cli.Streams, cmd *cobra.Command, ask func(*client.Client, context.Context) (T, error), table func(T) [][]string) {
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, _, err := connect()
		if err != nil {
			return err
		}
		answer, err := ask(c, cmd.Context())
		if err != nil {
			return explain(err)
		}
		if inJSON {
			return s.JSON(answer)
		}
		return s.Table(table(answer))
	}
}

func newStop(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Stop the registry",
		Long: `Stop the registry. What it stores is kept. Nodes then pull from other registries directly,
until the next "skiff registry start" or "skiff up".`,
		Example: `  # Stop the registry
  skiff registry stop`,
		Args: cli.Arguments(0, 0),
	}
	cli.Yes(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, _, err := connect()
		if err != nil {
			return err
		}
		err = c.Stop(cmd.Context())
		if errors.Is(err, client.ErrNotRunning) {
			fmt.Fprintln(s.Out, "the registry is not running: nothing to do")
			return nil
		}
		if err == nil {
			fmt.Fprintln(s.Out, "the registry is stopped")
		}
		return err
	}
	return cmd
}

func newServe() *cobra.Command {
	var config registry.Config
	var dir string
	cmd := &cobra.Command{
		Use:    "serve",
		Short:  "Run the registry in the foreground",
		Hidden: true,
		Args:   cli.Arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			config.Home = home.Home(dir)
			return registry.Run(cmd.Context(), config)
		},
	}
	cmd.Flags().StringVar(&dir, "home", "", "Skiff's home `directory`")
	cmd.Flags().IntVar(&config.Port, "port", 0, "port on 127.0.0.1 for pushes")
	cmd.Flags().Int64Var(&config.LimitBytes, "size", 0, "maximum size in bytes")
	_ = cmd.MarkFlagRequired("home")
	return cmd
}
