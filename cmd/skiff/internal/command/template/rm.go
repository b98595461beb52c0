package template

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/template"
)

func newRemove(s cli.Streams) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "rm TEMPLATE...",
		Short: "Delete templates",
		Long:  "Delete templates. Clusters that began with them are not affected.",
		Example: `  # Delete all templates
  skiff template rm --all`,
		Args:              cli.Arguments(0, -1),
		ValidArgsFunction: complete,
	}
	cli.Yes(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "delete all templates")
	cmd.RunE = func(_ *cobra.Command, keys []string) error {
		if all == (len(keys) > 0) {
			return cli.Invalid("", "name the templates to delete, or use --all")
		}
		h, err := target.Home()
		if err != nil {
			return err
		}
		if all {
			found, _, err := template.List(h)
			if err != nil {
				return err
			}
			for _, t := range found {
				keys = append(keys, t.Key)
			}
		}
		var failed []error
		for _, key := range keys {
			if err := remove(h, key); err != nil {
				failed = append(failed, err)
				continue
			}
			fmt.Fprintf(s.Out, "template %s deleted\n", key)
		}
		return errors.Join(failed...)
	}
	return cmd
}

// remove removes a template that is not being made or used at the moment.
func remove(h home.Home, key string) error {
	err := template.Remove(h, key)
	switch {
	case errors.Is(err, home.ErrLocked):
		return &daemonapi.Failure{Cause: fmt.Sprintf("template %s is in use: a cluster is being made from it, or it is being made", key), Hint: "wait until it is done and try again"}
	case errors.Is(err, template.ErrNone):
		var keys []string
		all, _, _ := template.List(h)
		for _, t := range all {
			keys = append(keys, t.Key)
		}
		hint := "run `skiff template list` to see the templates"
		if meant := nearest.Of(key, keys); meant != "" {
			hint = fmt.Sprintf("did you mean %q?", meant)
		}
		return cli.Invalid(hint, "no template named %q", key)
	}
	return err
}
