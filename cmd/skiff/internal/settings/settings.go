// Package settings reads the configuration of a cluster from flags, environment
// variables, a configuration file and defaults, in this order of precedence. Errors
// name the place that an invalid value came from.
package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Flags adds the flags of all settings. Their defaults in the help are those of
// spec.
func Flags(flags *pflag.FlagSet, spec cluster.Spec) {
	for _, s := range Table() {
		switch value := s.get(&spec).(type) {
		case int:
			if s.Flag != "" {
				flags.Int(s.Flag, value, s.Description)
			}
		case string:
			if s.Flag != "" {
				flags.String(s.Flag, value, s.Description)
			}
		case bool:
			if s.Flag != "" {
				flags.Bool(s.Flag, value, s.Description)
			}
		case []string:
			if s.Flag != "" {
				flags.StringArray(s.Flag, value, s.Description+"; repeat the flag for more")
			}
		}
	}
}

// Complete lets the shell complete the values of those flags that have a list of them.
func Complete(cmd *cobra.Command) {
	for _, s := range Table() {
		if cmd.Flags().Lookup(s.Flag) != nil && len(s.Values) > 0 {
			_ = cmd.RegisterFlagCompletionFunc(s.Flag, cobra.FixedCompletions(s.Values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// Resolve returns the configured cluster. Settings that flags, environment and file
// leave open are those of base. file may be the zero File, and flags count only if
// they were given. The error is a *daemonapi.Failure.
func Resolve(flags *pflag.FlagSet, file File, base cluster.Spec) (cluster.Spec, error) {
	v := viper.New()
	all := Table()
	for _, f := range all {
		if f.put != nil {
			continue
		}
		v.SetDefault(f.Key, f.get(&base))
		if f.Env != "" {
			if err := v.BindEnv(f.Key, f.Env); err != nil {
				return base, err
			}
		}
		if flag := flags.Lookup(f.Flag); flag != nil {
			if err := v.BindPFlag(f.Key, flag); err != nil {
				return base, err
			}
		}
		if entry, ok := file.values[f.Key]; ok {
			if err := v.MergeConfigMap(nest(f.Key, entry.value)); err != nil {
				return base, err
			}
		}
	}
	spec := base
	for _, f := range all {
		err := apply(&spec, v, f, flags, file)
		if err != nil {
			return base, &daemonapi.Failure{Cause: fmt.Sprintf("%s: %s", origin(f, flags, file), err), Invalid: true}
		}
	}
	return spec, nil
}

// apply gives spec the setting's value. Settings with a structure come only from the
// file.
func apply(spec *cluster.Spec, v *viper.Viper, f Setting, flags *pflag.FlagSet, file File) error {
	if f.put == nil {
		text, err := resolved(v, f, flags, file)
		if err != nil {
			return err
		}
		return f.set(spec, text)
	}
	entry, ok := file.values[f.Key]
	if !ok {
		return nil
	}
	if text, ok := entry.value.(string); ok && f.path && text != "" {
		path, err := absolutePath(text, directory(f, flags, file))
		if err != nil {
			return err
		}
		return f.put(spec, path)
	}
	if err := f.put(spec, entry.value); err != nil || f.locate == nil {
		return err
	}
	return f.locate(spec, directory(f, flags, file))
}

// resolved returns the text that f.set takes.
func resolved(v *viper.Viper, f Setting, flags *pflag.FlagSet, file File) (string, error) {
	if f.Type != List {
		text := v.GetString(f.Key)
		if !f.path || text == "" {
			return text, nil
		}
		return absolutePath(text, directory(f, flags, file))
	}
	items := v.GetStringSlice(f.Key)
	if f.path {
		if err := absolute(items, directory(f, flags, file)); err != nil {
			return "", err
		}
	}
	return strings.Join(items, "\n"), nil
}

// directory returns the directory that relative paths in f belong to.
func directory(f Setting, flags *pflag.FlagSet, file File) string {
	if _, ok := file.values[f.Key]; ok && !flags.Changed(f.Flag) {
		return filepath.Dir(file.name)
	}
	return "."
}

// absolutePath returns an absolute path. A leading ~/ is the user's home directory.
func absolutePath(path, dir string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		return filepath.Join(home, rest), err
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path), nil
	}
	return filepath.Abs(filepath.Join(dir, path))
}

// absolute makes the paths on the host that mounts begin with absolute.
func absolute(items []string, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for i, item := range items {
		home := ""
		if strings.HasPrefix(item, "~") {
			if home, err = os.UserHomeDir(); err != nil {
				return err
			}
		}
		items[i] = cluster.AbsoluteFolder(item, dir, home)
	}
	return nil
}

// origin returns the place that the value of f came from.
func origin(f Setting, flags *pflag.FlagSet, file File) string {
	entry, inFile := file.values[f.Key]
	switch {
	case f.Flag != "" && flags.Changed(f.Flag):
		return "--" + f.Flag
	case f.Env != "" && os.Getenv(f.Env) != "":
		return f.Env
	case inFile:
		return fmt.Sprintf("%s:%d: %s", file.name, entry.line, f.Key)
	default:
		return f.Key
	}
}
