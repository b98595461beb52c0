package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
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
	port := cmd.Flags().Int("port", defaultPort, "port on 127.0.0.1; 0 picks a free one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if *port < 0 || *port > 65535 {
			return cli.Invalid("", "--port must be between 0 and 65535")
		}
		from, err := open(*cluster)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, from.close()) }()
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)))
		if err != nil {
			return cli.Invalid("choose another with --port, or 0 for any free one", "port %d on 127.0.0.1 is in use", *port)
		}
		fmt.Fprintf(s.Out, "metrics of %s: http://%s (press Ctrl-C to stop)\n", from.name, listener.Addr())
		return serve(cmd.Context(), listener, local(from.handler))
	}
	return cmd
}

// serve answers requests until ctx ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// local refuses requests of web pages that were made to reach this host by another name.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if address := net.ParseIP(host); host != "localhost" && (address == nil || !address.IsLoopback()) {
			http.Error(w, "use the address 127.0.0.1", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
