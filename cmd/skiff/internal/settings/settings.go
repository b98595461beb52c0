// Package settings makes the wanted cluster out of flags, the environment, a
// skiff.yaml and defaults: the first of these that names a key wins, and a value
// that cannot be used is reported with the place it came from.
package settings

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// field is one key of the Spec: where it can be set, and how.
type field struct {
	// key is the path in skiff.yaml, dots between levels.
	key string
	// env and flag are empty where there is none.
	env, flag string
	whole     bool // a whole number, not text
	get       func(*cluster.Spec) any
	// set returns what is wrong with the value, for people.
	set func(spec *cluster.Spec, text string) error
}

func fields() []field {
	return []field{
		text("name", "SKIFF_CLUSTER", "", func(s *cluster.Spec) *string { return &s.Name }),
		number("controlPlanes", "SKIFF_CONTROL_PLANES", "control-planes", func(s *cluster.Spec) *int { return &s.ControlPlanes }),
		number("workers", "SKIFF_WORKERS", "workers", func(s *cluster.Spec) *int { return &s.Workers }),
		number("cpus", "SKIFF_CPUS", "cpus", func(s *cluster.Spec) *int { return &s.CPUs }),
		text("memory", "SKIFF_MEMORY", "memory", func(s *cluster.Spec) *string { return &s.Memory }),
		text("disk", "SKIFF_DISK", "disk", func(s *cluster.Spec) *string { return &s.Disk }),
		number("apiPort", "SKIFF_API_PORT", "api-port", func(s *cluster.Spec) *int { return &s.APIPort }),
		text("driver", "SKIFF_DRIVER", "driver", func(s *cluster.Spec) *string { return &s.Driver }),
		prefix("network.nodes", func(s *cluster.Spec) *netip.Prefix { return &s.Network.Nodes }),
		prefix("network.pods", func(s *cluster.Spec) *netip.Prefix { return &s.Network.Pods }),
		prefix("network.services", func(s *cluster.Spec) *netip.Prefix { return &s.Network.Services }),
		text("network.domain", "", "", func(s *cluster.Spec) *string { return &s.Network.Domain }),
	}
}

func text(key, env, flag string, at func(*cluster.Spec) *string) field {
	return field{
		key: key, env: env, flag: flag,
		get: func(s *cluster.Spec) any { return *at(s) },
		set: func(s *cluster.Spec, text string) error { *at(s) = text; return nil },
	}
}

func number(key, env, flag string, at func(*cluster.Spec) *int) field {
	return field{
		key: key, env: env, flag: flag, whole: true,
		get: func(s *cluster.Spec) any { return *at(s) },
		set: func(s *cluster.Spec, text string) error {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				return fmt.Errorf("%q is not a whole number", text)
			}
			*at(s) = int(n)
			return nil
		},
	}
}

func prefix(key string, at func(*cluster.Spec) *netip.Prefix) field {
	return field{
		key: key,
		get: func(s *cluster.Spec) any { return at(s).String() },
		set: func(s *cluster.Spec, text string) error {
			p, err := netip.ParsePrefix(text)
			if err != nil {
				return fmt.Errorf("%q is not an address range such as 10.244.0.0/16", text)
			}
			*at(s) = p
			return nil
		},
	}
}

// Flags adds the flags that set a key of the Spec. Their defaults in help are
// those of spec.
func Flags(flags *pflag.FlagSet, spec cluster.Spec) {
	flags.Int("control-planes", spec.ControlPlanes, "number of control-plane nodes (odd)")
	flags.Int("workers", spec.Workers, "number of worker nodes")
	flags.Int("cpus", spec.CPUs, "CPUs of each node")
	flags.String("memory", spec.Memory, "memory of each node")
	flags.String("disk", spec.Disk, "maximum disk size of each node; only used space is allocated")
	flags.Int("api-port", spec.APIPort, "port of the Kubernetes API on 127.0.0.1; 0 picks a free one and keeps it")
	flags.String("driver", spec.Driver, `driver that runs the nodes: "lima" (virtual machines) or "sandbox" (Linux namespaces, needs root)`)
}

// Resolve returns the wanted cluster. file may be the zero File. Flags count
// only if they were given. The error is a *daemonapi.Failure.
func Resolve(flags *pflag.FlagSet, file File, base cluster.Spec) (cluster.Spec, error) {
	v := viper.New()
	all := fields()
	for _, f := range all {
		v.SetDefault(f.key, f.get(&base))
		if f.env != "" {
			if err := v.BindEnv(f.key, f.env); err != nil {
				return base, err
			}
		}
		if flag := flags.Lookup(f.flag); flag != nil {
			if err := v.BindPFlag(f.key, flag); err != nil {
				return base, err
			}
		}
		if entry, ok := file.values[f.key]; ok {
			if err := v.MergeConfigMap(nest(f.key, entry.text)); err != nil {
				return base, err
			}
		}
	}
	spec := base
	for _, f := range all {
		if err := f.set(&spec, v.GetString(f.key)); err != nil {
			return base, &daemonapi.Failure{Cause: fmt.Sprintf("%s: %s", origin(f, flags, file), err), Invalid: true}
		}
	}
	return spec, nil
}

// origin names the place that the value of f came from.
func origin(f field, flags *pflag.FlagSet, file File) string {
	entry, inFile := file.values[f.key]
	switch {
	case f.flag != "" && flags.Changed(f.flag):
		return "--" + f.flag
	case f.env != "" && os.Getenv(f.env) != "":
		return f.env
	case inFile:
		return fmt.Sprintf("%s:%d: %s", file.name, entry.line, f.key)
	default:
		return f.key
	}
}
