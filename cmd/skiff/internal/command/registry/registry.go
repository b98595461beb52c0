// Package registry holds the commands `registry` and `prune`.
package registry

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/registry"
	"github.com/skiff-dev/skiff/vm/registry/client"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
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

func newStart(s cli.Streams) *cobra.Command {
	var port int
	var size string
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Start the registry, and let it run until it is stopped",
		Long: `Start the registry, and let it run until it is stopped, also without clusters. A cluster
starts it by itself, so this is only needed to push images before there is one, or to
change the port or the size. Both are kept for later starts.`,
		Example: `  # Start the registry
  skiff registry start

  # Use another port
  skiff registry stop
  skiff registry start --port 5555`,
		Args: cli.Arguments(0, 0),
	}
	asJSON := cli.Output(cmd)
	cmd.Flags().IntVar(&port, "port", registry.DefaultPort, "port on 127.0.0.1 for pushes")
	cmd.Flags().StringVar(&size, "size", "20Gi", "maximum size of the pushed images, and of the cached ones")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		arguments := []string{"--keep"}
		if cmd.Flags().Changed("port") {
			if port < 1 || port > math.MaxUint16 {
				return cli.Invalid("", "invalid --port %d: use 1 to 65535", port)
			}
			arguments = append(arguments, "--port", strconv.Itoa(port))
		}
		if cmd.Flags().Changed("size") {
			bytes, err := parseSize(size)
			if err != nil {
				return err
			}
			arguments = append(arguments, "--size", strconv.FormatInt(bytes, 10))
		}
		return start(cmd, s, arguments, inJSON)
	}
	return cmd
}

// minSize is what one larger image needs.
const minSize = 1 << 30

func parseSize(text string) (int64, error) {
	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		return 0, cli.Invalid("", "invalid --size %q: use e.g. 20Gi", text)
	}
	bytes, ok := quantity.AsInt64()
	if !ok || bytes < minSize {
		return 0, cli.Invalid("", "invalid --size %q: use at least 1Gi", text)
	}
	return bytes, nil
}

func start(cmd *cobra.Command, s cli.Streams, arguments []string, asJSON bool) error {
	c, _, err := connect()
	if err != nil {
		return err
	}
	if _, err := c.Status(cmd.Context()); err == nil && len(arguments) > 1 {
		return cli.Invalid("run `skiff registry stop` first", "the registry is already running: its port and size cannot change")
	}
	if _, err := c.Start(cmd.Context(), arguments...); err != nil {
		return err
	}
	// It may have been started by a cluster meanwhile.
	status, err := c.Keep(cmd.Context())
	if err != nil {
		return explain(err)
	}
	if asJSON {
		return s.JSON(status)
	}
	fmt.Fprintf(s.Out, "the registry serves at %s\n", status.Address)
	if status.PortTaken {
		fmt.Fprintln(s.Err, "warning: its usual port is taken by another program")
	}
	return nil
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

func newStatus(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show where the registry serves, and how large it is",
		Example: `  # Show the registry
  skiff registry status

  # Print the address for pushes
  skiff registry status -o json | jq -r .address`,
		Args: cli.Arguments(0, 0),
	}
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
		status, err := c.Status(cmd.Context())
		if err != nil {
			return explain(err)
		}
		if inJSON {
			return s.JSON(status)
		}
		clusters := strings.Join(status.Clusters, ", ")
		if clusters == "" {
			clusters = "none"
		}
		limit := cli.Bytes(status.LimitBytes)
		return s.Table([][]string{
			{"address:", status.Address},
			{"clusters:", clusters},
			{"pushed:", cli.Bytes(status.PushedBytes) + " of " + limit},
			{"cached:", cli.Bytes(status.CachedBytes) + " of " + limit},
		})
	}
	return cmd
}

func newList(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the images in the registry",
		Long: `List the images that were pushed, and those that were pulled from other registries and
are still complete or partly in the cache.`,
		Example: `  # List the images
  skiff registry list

  # Print them as JSON
  skiff registry list -o json`,
		Args: cli.Arguments(0, 0),
	}
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
		images, err := c.Images(cmd.Context())
		if err != nil {
			return explain(err)
		}
		if inJSON {
			return s.JSON(images)
		}
		rows := [][]string{{"IMAGE", "DIGEST", "KIND"}}
		for _, image := range images {
			rows = append(rows, []string{image.Name, image.Digest[:min(len(image.Digest), len("sha256:")+12)], string(image.Kind)})
		}
		return s.Table(rows)
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
	cmd.Flags().BoolVar(&config.Keep, "keep", false, "run without clusters")
	_ = cmd.MarkFlagRequired("home")
	return cmd
}

// Prune returns the command `prune`.
func Prune(s cli.Streams) *cobra.Command {
	var request registryapi.PruneRequest
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Free disk space: delete images that can be pulled or built again",
		Long: `Delete what the registry keeps of other registries, and the pushed images that have lost
their tag to a newer one. With --all, delete all pushed images, too. Images on the nodes
are not affected.`,
		Example: `  # Show what would be freed
  skiff prune --dry-run

  # Free it
  skiff prune

  # Delete everything that was pushed, too
  skiff prune --all`,
		Args: cli.Arguments(0, 0),
	}
	asJSON := cli.Output(cmd)
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "only show what would be freed")
	cmd.Flags().BoolVar(&request.All, "all", false, "delete all pushed images, too")
	cli.Yes(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		return prune(cmd, s, request, inJSON)
	}
	return cmd
}

func prune(cmd *cobra.Command, s cli.Streams, request registryapi.PruneRequest, asJSON bool) error {
	c, dir, err := connect()
	if err != nil {
		return err
	}
	var result registryapi.Pruned
	if _, err := os.Stat(string(dir)); err == nil {
		// Without users it ends again by itself.
		if _, err := c.Start(cmd.Context()); err != nil {
			return err
		}
		if result, err = c.Prune(cmd.Context(), request); err != nil {
			return explain(err)
		}
	}
	if asJSON {
		return s.JSON(result)
	}
	verb := "freed"
	if request.DryRun {
		verb = "would free"
	}
	fmt.Fprintf(s.Out, "%s %s: %s of pushed images and %s of cached ones\n", verb,
		cli.Bytes(result.PushedBytes+result.CachedBytes), cli.Bytes(result.PushedBytes), cli.Bytes(result.CachedBytes))
	return nil
}
