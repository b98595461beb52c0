package registry

import (
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/tail"
)

func newLogs(s cli.Streams) *cobra.Command {
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show the log of the registry",
		Example: `  # Show the last lines
  skiff registry logs

  # Follow the log
  skiff registry logs -f`,
		Args: cli.Arguments(0, 0),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "follow the log")
	cmd.Flags().IntVar(&lines, "tail", 50, "number of lines from the end of the log; 0 shows all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if lines < 0 {
			return cli.Invalid("", "--tail must not be negative")
		}
		_, dir, err := connect()
		if err != nil {
			return err
		}
		log, err := tail.Open(cmd.Context(), dir.Log(), lines, follow)
		if errors.Is(err, fs.ErrNotExist) {
			return cli.Invalid("run `skiff registry start`", "the registry has no log yet")
		}
		if err != nil {
			return err
		}
		defer func() { _ = log.Close() }()
		_, err = io.Copy(s.Text(), log)
		return err
	}
	return cmd
}
