// Package arguments sets options of upstream's components as their command lines do,
// from users' settings.
package arguments

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/featuregate"
)

// Apply sets flags, given without dashes, to values.
func Apply(sets cliflag.NamedFlagSets, values map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := apply(sets, name, values[name]); err != nil {
			return err
		}
	}
	return nil
}

func apply(sets cliflag.NamedFlagSets, name, value string) error {
	for _, set := range sets.FlagSets {
		if set.Lookup(name) == nil {
			continue
		}
		if err := set.Set(name, value); err != nil {
			return fmt.Errorf("argument %s: %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("unknown argument %q", name)
}

// Gates returns the value of --feature-gates for those gates that this process has.
func Gates(gates map[string]bool) string {
	known := utilfeature.DefaultMutableFeatureGate.GetAll()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(gates)) {
		if _, ok := known[featuregate.Feature(name)]; ok {
			all = append(all, name+"="+strconv.FormatBool(gates[name]))
		}
	}
	return strings.Join(all, ",")
}
