package logs

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/records/logs"
	"github.com/skiff-dev/skiff/vm/records/logs/child"
)

// NewStore returns the hidden command `logstore`, which a daemon starts for its
// cluster, and `logs` for one that has no daemon.
func NewStore(s cli.Streams) *cobra.Command {
	var config logs.Config
	var dir string
	cmd := &cobra.Command{
		Use:    "logstore",
		Short:  "Keep the logs of a cluster",
		Hidden: true,
		Args:   cli.Arguments(0, 0),
	}
	cmd.Flags().StringVar(&config.Dir, "dir", "", "directory of the store")
	cmd.Flags().StringVar(&dir, "home", "", "directory of all clusters")
	cmd.Flags().StringVar(&config.Cluster, "cluster", "", "cluster to collect logs from; none if it is empty")
	cmd.Flags().Int64Var(&config.LimitBytes, "limit", logs.DefaultLimitBytes, "size of the store in bytes")
	cmd.Flags().DurationVar(&config.Age, "age", logs.DefaultAge, "age at which logs are deleted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		file := os.NewFile(child.ListenerFD, "queries")
		listener, err := net.FileListener(file)
		if err != nil {
			return cli.Invalid("", "logstore is started by skiff itself")
		}
		_ = file.Close()
		config.Home, config.Listener, config.Parent, config.Ready = home.Home(dir), listener, s.In, s.Out
		config.Log = slog.New(slog.NewJSONHandler(s.Err, nil))
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		return logs.Run(ctx, config)
	}
	return cmd
}
