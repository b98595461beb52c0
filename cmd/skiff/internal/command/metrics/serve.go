package metrics

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/serve"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
)

// defaultPort is the one that Prometheus has.
const defaultPort = 9090

func newServe(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the metrics to Grafana and other programs",
		Long: `Serve the HTTP API of Prometheus on 127.0.0.1 until interrupted, over the recorded metrics.
Grafana, promtool and other programs made for Prometheus can query it. Every program on
this host can reach the port while the command runs; nothing can be changed through it.`,
		Example: `  # In Grafana, add a data source of type Prometheus with the URL that is printed
  skiff metrics serve

  # Serve what was recorded of a deleted cluster, on another port
  skiff metrics serve -c ci --port 9191

  # Query with promtool
  promtool query instant http://127.0.0.1:9090 up`,
		Args: cli.Arguments(0, 0),
	}
	cluster := target.Flag(cmd)
	port := serve.Flag(cmd, defaultPort)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if err := port.Check(); err != nil {
			return err
		}
		from, err := open(*cluster)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, from.close()) }()
		listener, err := port.Listen()
		if err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "metrics of %s: http://%s (press Ctrl-C to stop)\n", from.name, listener.Addr())
		return serve.Run(cmd.Context(), listener, from.handler)
	}
	return cmd
}
