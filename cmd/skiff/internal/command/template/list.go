package template

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/template"
)

// listed is a template in JSON.
type listed struct {
	Key        string       `json:"key"`
	Created    time.Time    `json:"created"`
	Used       time.Time    `json:"used"`
	Bytes      int64        `json:"bytes"`
	Kubernetes string       `json:"kubernetes"`
	Nodes      int          `json:"nodes"`
	Shape      cluster.Spec `json:"shape"`
}

func inJSON(t template.Template) listed {
	return listed{t.Key, t.Created, t.Used, t.Bytes, t.Kubernetes, len(cluster.Nodes(t.Shape, nil)), t.Shape}
}

func newList(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List all templates",
		Example: `  # List all templates
  skiff template list`,
		Args: cli.Arguments(0, 0),
	}
	asJSON := cli.Output(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		asked, err := asJSON()
		if err != nil {
			return err
		}
		h, err := target.Home()
		if err != nil {
			return err
		}
		all, damaged, err := template.List(h)
		if err != nil {
			return err
		}
		for _, one := range damaged {
			fmt.Fprintf(s.Err, "skiff: warning: %s\n", cli.OneLine(one.Error()))
		}
		if asked {
			out := []listed{}
			for _, t := range all {
				out = append(out, inJSON(t))
			}
			return s.JSON(out)
		}
		if h.TemplatesHeld() {
			fmt.Fprintln(s.Err, "a template is being made")
		}
		if len(all) == 0 {
			fmt.Fprintln(s.Out, "no templates")
			return nil
		}
		return s.Table(rows(all, time.Now()))
	}
	return cmd
}

// rows returns the table of templates at the time now.
func rows(all []template.Template, now time.Time) [][]string {
	table := [][]string{{"TEMPLATE", "AGE", "LAST USED", "SIZE", "KUBERNETES", "SHAPE"}}
	for _, t := range all {
		used := "never"
		if t.Used.After(t.Created.Add(time.Second)) {
			used = cli.Age(now.Sub(t.Used)) + " ago"
		}
		table = append(table, []string{t.Key, cli.Age(now.Sub(t.Created)), used, cli.Bytes(t.Bytes), t.Kubernetes, shapeOf(t.Shape)})
	}
	return table
}

// shapeOf describes the machines of a cluster in a few words.
func shapeOf(spec cluster.Spec) string {
	planes, workers := 0, 0
	for _, n := range cluster.Nodes(spec, nil) {
		if cluster.IsControlPlane(n.Name) {
			planes++
		} else {
			workers++
		}
	}
	return fmt.Sprintf("%s, %s, %s and %s each", cli.Count(planes, "control plane"), cli.Count(workers, "worker"), cli.Count(spec.CPUs, "CPU"), spec.Memory)
}
