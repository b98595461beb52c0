// Package template holds the commands that manage templates, from which new clusters begin
// instead of booting.
package template

import (
	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/template"
)

// New returns the command `template`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "template",
		Short: "Manage templates, with which new clusters start faster",
		Long: `Manage templates. A template is a cluster that had just become ready and that nobody had used,
with the memory of its machines. A new cluster of the same shape, which is everything in its
configuration that concerns nodes, continues with that memory instead of booting.

"skiff up" makes the template of a new cluster in the background, with low priority, unless
the variable CI is set, this host has too little memory for another such cluster at the moment,
or the memory of the machines cannot be kept: that works with virtual machines under QEMU on
Linux that share no folders with the host. "skiff up" and "skiff run" use a template if there
is one; --cold avoids that. If it does not match any more, the machines boot, and the command
says why.

A cluster that began with a template replaces all authorities, keys and tokens in the background
within about ten minutes. Until then it has those of the template in common with other clusters
that began with it, and "skiff status" says so.

The variable SKIFF_TEMPLATES limits the disk space of all templates (4Gi by default), and turns
them off with the value "off". Those that were used least recently are deleted first.`,
		Example: `  # Make the template of clusters like "skiff"
  skiff template create

  # Show all templates
  skiff template list

  # Delete those that cannot be used any more
  skiff template prune`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newCreate(s), newList(s), newPrune(s), newRemove(s))
	return cmd
}

// complete completes the keys of templates.
func complete(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	h, err := target.Home()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	all, _, err := template.List(h)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var keys []cobra.Completion
	for _, t := range all {
		keys = append(keys, t.Key)
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}
