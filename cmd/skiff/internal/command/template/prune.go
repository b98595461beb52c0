package template

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/template"
)

// pruned is a template in JSON that was, or would be, deleted.
type pruned struct {
	Key    string `json:"key"`
	Bytes  int64  `json:"bytes"`
	Reason string `json:"reason"`
}

func newPrune(s cli.Streams) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete templates that cannot be used any more",
		Long: `Delete templates that no new cluster can begin with, such as those of another node image, and
then those that were used least recently, until the others fit into the space for templates
(SKIFF_TEMPLATES).`,
		Example: `  # Show what would be deleted
  skiff template prune --dry-run`,
		Args: cli.Arguments(0, 0),
	}
	asJSON := cli.Output(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be deleted")
	cli.Yes(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		asked, err := asJSON()
		if err != nil {
			return err
		}
		h, err := target.Home()
		if err != nil {
			return err
		}
		waste, err := target.TemplateWaste(h)
		if err != nil {
			return err
		}
		return prune(s, h, waste, dryRun, asked)
	}
	return cmd
}

func prune(s cli.Streams, h home.Home, waste []template.Waste, dryRun, asJSON bool) error {
	out := []pruned{}
	var failed []error
	for _, one := range waste {
		if !dryRun {
			if err := remove(h, one.Key); err != nil {
				failed = append(failed, err)
				continue
			}
		}
		out = append(out, pruned(one))
	}
	if asJSON {
		return errors.Join(append(failed, s.JSON(out))...)
	}
	verb := "deleted"
	if dryRun {
		verb = "would be deleted"
	}
	for _, one := range out {
		fmt.Fprintf(s.Out, "template %s %s (%s): %s\n", one.Key, verb, cli.Bytes(one.Bytes), one.Reason)
	}
	if len(waste) == 0 {
		fmt.Fprintln(s.Out, "nothing to delete")
	}
	return errors.Join(failed...)
}
