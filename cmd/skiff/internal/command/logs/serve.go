package logs

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/serve"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/records/logs/store"
)

// defaultPort is the one that VictoriaLogs has.
const defaultPort = 9428

func newServe(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the recorded logs to Grafana and other programs",
		Long: `Serve the query API of VictoriaLogs on 127.0.0.1 until interrupted, over the cluster's log
store. Grafana, with the data source of VictoriaLogs, and other programs can query it. Every
program on this host can reach the port while the command runs; nothing can be changed
through it.`,
		Example: `  # In Grafana, add a data source of type VictoriaLogs with the URL that is printed
  skiff logs serve

  # Serve what was recorded of a deleted cluster, on another port
  skiff logs serve -c ci --port 9429

  # Query with curl
  curl http://127.0.0.1:9428/select/logsql/query -d 'query=error' -d 'limit=10'`,
		Args: cli.Arguments(0, 0),
	}
	cluster := target.Flag(cmd)
	port := serve.Flag(cmd, defaultPort)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := port.Check(); err != nil {
			return err
		}
		records, err := target.OpenRecords(*cluster)
		if err != nil {
			return err
		}
		c, closeStore, err := openStore(cmd.Context(), records)
		if err != nil {
			return err
		}
		defer closeStore()
		to, err := url.Parse(c.Base)
		if err != nil {
			return err
		}
		listener, err := port.Listen()
		if err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "logs of %s: http://%s (press Ctrl-C to stop)\n", records.Name, listener.Addr())
		return serve.Run(cmd.Context(), listener, queries(serve.Proxy(to, c.Transport)))
	}
	return cmd
}

// queries passes on only requests to the query API of VictoriaLogs.
func queries(to http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{store.PathSelect, store.PathBuild, store.PathHealth} {
		mux.Handle(path, to)
	}
	return mux
}
