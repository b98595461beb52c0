package registry

import (
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/registry"
)

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
	cmd.Flags().StringVar(&size, "size", resource.NewQuantity(registry.DefaultBytes, resource.BinarySI).String(), "maximum size of the pushed images, and of the cached ones")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		var arguments []string
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

// minSize is the least size in bytes: a large image needs as much.
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
	if _, err := c.Status(cmd.Context()); err == nil && len(arguments) > 0 {
		return cli.Invalid("run `skiff registry stop` first", "the registry is already running: its port and size cannot change")
	}
	if _, err := c.Start(cmd.Context(), arguments...); err != nil {
		return err
	}
	// Without this, it would end with the last cluster.
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
