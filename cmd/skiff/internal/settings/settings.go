// Package settings reads the configuration of a cluster from flags, environment
// variables, a configuration file and defaults, in this order of precedence. Errors
// name the place that an invalid value came from.
package settings

import (
	"fmt"
	"os"
	"strings"

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

// Resolve returns the configured cluster. Settings that flags, environment and file
// leave open are those of base. file may be the zero File, and flags count only if
// they were given. The error is a *daemonapi.Failure.
func Resolve(flags *pflag.FlagSet, file File, base cluster.Spec) (cluster.Spec, error) {
	v := viper.New()
	all := Table()
	for _, f := range all {
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
			if err := v.MergeConfigMap(nest(f.Key, entry.text)); err != nil {
				return base, err
			}
		}
	}
	spec := base
	for _, f := range all {
		if err := f.set(&spec, resolved(v, f)); err != nil {
			return base, &daemonapi.Failure{Cause: fmt.Sprintf("%s: %s", origin(f, flags, file), err), Invalid: true}
		}
	}
	return spec, nil
}

// resolved returns the text that f.set takes. Viper knows a List as texts, if it
// comes from a flag or a default, or as lines, from a file.
func resolved(v *viper.Viper, f Setting) string {
	if f.Type != List {
		return v.GetString(f.Key)
	}
	if lines, ok := v.Get(f.Key).(string); ok {
		return lines
	}
	return strings.Join(v.GetStringSlice(f.Key), "\n")
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
