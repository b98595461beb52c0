package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skiff-dev/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Group is the RunE of a command that only has subcommands. It prints the help
// without arguments and rejects unknown subcommands.
func Group(cmd *cobra.Command, args []string) error {
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
	return Invalid(hint, "unknown command %q", args[0])
}

// FlagError turns an error of pflag into one line that suggests the nearest
// valid flag.
func FlagError(cmd *cobra.Command, err error) error {
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
		return Invalid(help, "unknown flag --%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return Invalid(help, "unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &value):
		what := map[string]string{"int": "a whole number", "duration": "a duration such as 90s or 5m", "bool": "true or false"}[value.GetFlag().Value.Type()]
		if what == "" {
			return Invalid("", "--%s: %s", value.GetFlag().Name, value.Unwrap())
		}
		return Invalid("", "--%s: %q is not %s", value.GetFlag().Name, value.GetValue(), what)
	case errors.As(err, &missing):
		return Invalid(help, "--%s needs a value", missing.GetFlag().Name)
	}
	return Invalid(help, "%s", err)
}

// Arguments accepts between least and most arguments. A negative most sets no
// upper limit.
func Arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		usage := "usage: " + cmd.UseLine()
		switch {
		case len(args) < least:
			return Invalid(usage, "%s: too few arguments", cmd.Name())
		case most >= 0 && len(args) > most:
			return Invalid(usage, "%s: unexpected argument %q", cmd.Name(), args[most])
		}
		return nil
	}
}

// Output adds the flag -o to a command. The returned function reports whether
// the user asked for JSON.
func Output(cmd *cobra.Command) func() (bool, error) {
	format := cmd.Flags().StringP("output", "o", "text", `output format: "text" or "json"`)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return func() (bool, error) {
		if *format != "text" && *format != "json" {
			return false, Invalid("", `invalid --output %q: must be "text" or "json"`, *format)
		}
		return *format == "json", nil
	}
}

// Yes adds the flag --yes to a command that never asks, for scripts that pass it.
func Yes(cmd *cobra.Command) {
	cmd.Flags().BoolP("yes", "y", false, "has no effect, since the command does not ask")
}

// First returns the first argument, or "" if there is none.
func First(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// Draining adds the flags for the nodes that a command drains. It returns a function that
// returns their values.
func Draining(cmd *cobra.Command) func() (daemonapi.Draining, error) {
	var d daemonapi.Draining
	cmd.Flags().DurationVar(&d.Timeout, "drain-timeout", 2*time.Minute, "how long the pods of a node may take to leave it")
	cmd.Flags().BoolVar(&d.Force, "force", false, "continue when pods have not left a node in time, for example because of a disruption budget")
	return func() (daemonapi.Draining, error) {
		if d.Timeout <= 0 {
			return d, Invalid("", "--drain-timeout must be positive")
		}
		return d, nil
	}
}
