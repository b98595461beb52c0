package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// app is what all commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "skiff",
		Short: "Run multi-node Kubernetes clusters on this machine",
		Long: `Skiff runs multi-node Kubernetes clusters on this machine. Each node is a virtual
machine, or a sandbox of Linux namespaces. Virtual machines need no root, and
neither kind needs Docker or network access.`,
		Example: `  # Create a cluster with one control plane and two workers
  skiff up

  # Use it: the kubectl context is already set
  kubectl get nodes

  # Load an image from this host onto every node
  skiff image load app:1

  # Open the dashboard
  skiff ui

  # Delete the cluster
  skiff down`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE:              a.bare,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: "cluster", Title: "Clusters:"},
		&cobra.Group{ID: "node", Title: "Nodes and images:"},
		&cobra.Group{ID: "skiff", Title: "Other commands:"},
	)
	add(root, "cluster", a.up(), a.pause(), a.resume(), a.stop(), a.down(), a.runIn(), a.status(), a.list(), a.kubeconfig(), a.etcd(), a.secrets(), a.ui())
	add(root, "node", a.shell(), a.logs(), a.image(), a.nerdctl(), a.restart())
	add(root, "skiff", a.version(), a.drivers(), a.completion())
	root.AddCommand(a.daemon())
	root.SetHelpCommandGroupID("skiff")
	return root
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// bare is skiff without a command: the dashboard on a terminal when there is a
// cluster to show, else the help.
func (a *app) bare(cmd *cobra.Command, args []string) error {
	if len(args) == 0 && isTerminal(a.stdin) && isTerminal(a.stdout) && os.Getenv("TERM") != "dumb" {
		h, err := home.Default()
		if err != nil {
			return err
		}
		names, err := h.Names()
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return a.runUI(cmd.Context(), nil, uiOptions{})
		}
	}
	return group(cmd, args)
}

// group is the RunE of a command that only has subcommands.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := fmt.Sprintf("run `%s --help` for the list of commands", cmd.CommandPath())
	if meant := nearest.Of(args[0], names); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", cmd.CommandPath()+" "+meant)
	}
	return invalid(hint, "unknown command %q", args[0])
}

// flagError turns pflag's errors into one line and the nearest valid flag.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var value *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	help := fmt.Sprintf("run `%s --help` for the list of flags", cmd.CommandPath())
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if meant := nearest.Of(unknown.GetSpecifiedName(), names); meant != "" {
			help = fmt.Sprintf("did you mean --%s?", meant)
		}
		return invalid(help, "unknown flag --%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return invalid(help, "unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &value):
		what := map[string]string{"int": "a whole number", "duration": "a duration such as 90s or 5m", "bool": "true or false"}[value.GetFlag().Value.Type()]
		if what == "" {
			return invalid("", "--%s: %s", value.GetFlag().Name, value.Unwrap())
		}
		return invalid("", "--%s: %q is not %s", value.GetFlag().Name, value.GetValue(), what)
	case errors.As(err, &missing):
		return invalid(help, "--%s needs a value", missing.GetFlag().Name)
	}
	return invalid(help, "%s", err)
}

// invalid is an error of the person's input: exit code 2, nothing was changed.
func invalid(hint, format string, args ...any) error {
	return &daemonapi.Failure{Cause: fmt.Sprintf(format, args...), Hint: hint, Invalid: true}
}

// arguments checks how many there are; at most < 0 is no limit.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		usage := "usage: " + cmd.UseLine()
		switch {
		case len(args) < least:
			return invalid(usage, "%s: too few arguments", cmd.Name())
		case most >= 0 && len(args) > most:
			return invalid(usage, "%s: unexpected argument %q", cmd.Name(), args[most])
		}
		return nil
	}
}

// output adds -o to a command. The returned function says whether JSON is
// wanted.
func output(cmd *cobra.Command) func() (bool, error) {
	format := cmd.Flags().StringP("output", "o", "text", `output format: "text" or "json"`)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return func() (bool, error) {
		if *format != "text" && *format != "json" {
			return false, invalid("", `invalid --output %q: must be "text" or "json"`, *format)
		}
		return *format == "json", nil
	}
}

// client speaks to the daemon of the cluster called name.
func (a *app) client(name string) (*client.Client, home.Home, error) {
	h, err := home.Default()
	if err != nil {
		return nil, "", err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, "", fmt.Errorf("locate the skiff executable: %w", err)
	}
	dir, err := imageDir()
	if err != nil {
		return nil, "", err
	}
	return client.New(client.Config{
		Home: h, Name: name, ImageDir: dir,
		Command: []string{program, "daemon", "--home", string(h), "--name", name, "--image-dir", dir},
	}), h, nil
}

// open speaks to the daemon of the existing cluster that is meant by what was
// given, and returns the cluster's directory, which has its name.
func (a *app) open(given string) (*client.Client, home.Cluster, error) {
	name, err := existing(given)
	if err != nil {
		return nil, "", err
	}
	c, h, err := a.client(name)
	return c, h.Cluster(name), err
}

// imageDir is SKIFF_IMAGE_DIR, else the directory "image" beside this program.
func imageDir() (string, error) {
	if dir := os.Getenv("SKIFF_IMAGE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("locate the skiff executable: %w", err)
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return "", fmt.Errorf("locate the skiff executable: %w", err)
	}
	return filepath.Join(filepath.Dir(program), "image"), nil
}

// defaultName is the cluster that is meant when none is named.
func defaultName() string {
	if name := os.Getenv("SKIFF_CLUSTER"); name != "" {
		return name
	}
	return cluster.Default().Name
}

// maxName keeps the sockets in a cluster's directory under 104 characters.
const maxName = 40

// checkName refuses what is no DNS label, before it becomes part of a path.
func checkName(name string) error {
	if len(name) > maxName || len(validation.IsDNS1123Label(name)) > 0 {
		return invalid("use at most 40 lower-case letters, digits and dashes, such as \"dev-1\"", "invalid cluster name %q", name)
	}
	return nil
}

// named is args[0] if there is one, else the default name; checked.
func named(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], checkName(args[0])
	}
	name := defaultName()
	return name, checkName(name)
}

// existing is the cluster that a command on an existing one means: the one
// named, else SKIFF_CLUSTER, else the only one, else the default.
func existing(name string) (string, error) {
	if name != "" {
		return name, checkName(name)
	}
	if os.Getenv("SKIFF_CLUSTER") != "" {
		return named(nil)
	}
	h, err := home.Default()
	if err != nil {
		return "", err
	}
	names, err := h.Names()
	if err != nil {
		return "", err
	}
	fallback := defaultName()
	switch {
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0 || slices.Contains(names, fallback):
		return fallback, nil
	}
	return "", invalid("choose one of "+strings.Join(names, ", "), "no cluster named %q", fallback)
}

// about adds to an error of the client which cluster it is about and what to do.
func about(name string, err error) error {
	switch {
	case errors.Is(err, client.ErrNoCluster):
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("no cluster named %q", name),
			Hint:  fmt.Sprintf("run `skiff list` to see the clusters, or `skiff up %s` to create it", name),
		}
	case errors.Is(err, client.ErrNoDaemon):
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("cluster %q is not running", name),
			Hint:  fmt.Sprintf("run `skiff up %s` to start it again; its data is intact", name),
		}
	case errors.Is(err, cluster.ErrNewer):
		return &daemonapi.Failure{Cause: fmt.Sprintf("cluster %q: %s", name, err), Invalid: true}
	case errors.Is(err, cluster.ErrDamaged):
		return &daemonapi.Failure{
			Cause:   fmt.Sprintf("cluster %q: %s", name, err),
			Hint:    fmt.Sprintf("restore a good copy of the file, or delete the cluster with `skiff down %s`", name),
			Invalid: true,
		}
	}
	return err
}

// clusterFlag adds -c to a command whose arguments name a node.
func (a *app) clusterFlag(cmd *cobra.Command) *string {
	name := cmd.Flags().StringP("cluster", "c", "", `cluster (default: $SKIFF_CLUSTER, the only cluster, or "skiff")`)
	_ = cmd.RegisterFlagCompletionFunc("cluster", completeClusters)
	return name
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
