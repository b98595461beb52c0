package settings

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/vm/cluster"
)

// addons is a list of addons.
func addons(s Setting, at func(*cluster.Spec) *[]cluster.Addon) Setting {
	s.Type = Addons
	s.get = func(*cluster.Spec) any { return []string{} }
	s.put = func(spec *cluster.Spec, value any) error {
		*at(spec) = nil
		items, ok := value.([]any)
		if value != nil && !ok {
			return errors.New(`it must be a list, such as [./manifests, {chart: ./chart}]`)
		}
		for i, item := range items {
			addon, err := parseAddon(item)
			if err != nil {
				return fmt.Errorf("entry %d: %w", i+1, err)
			}
			*at(spec) = append(*at(spec), addon)
		}
		return nil
	}
	s.locate = func(spec *cluster.Spec, dir string) error {
		all := *at(spec)
		for i := range all {
			for _, path := range []*string{&all[i].Manifests, &all[i].Chart, &all[i].ValuesFile} {
				if *path == "" {
					continue
				}
				absolute, err := absolutePath(*path, dir)
				if err != nil {
					return err
				}
				*path = absolute
			}
			if all[i].Name == "" {
				all[i].Name = cluster.AddonName(all[i].Path())
			}
		}
		return nil
	}
	return s
}

// AddonKey is one key of an addon.
type AddonKey struct {
	Name string
	Type Type
	// Description starts in lower case and has no full stop.
	Description string
	put         func(*cluster.Addon, any) error
}

// AddonKeys returns the keys of an addon in the order in which they are documented.
func AddonKeys() []AddonKey {
	return []AddonKey{
		{"name", String, "name of the addon, unique in the cluster; by default that of its file or directory. A chart's release has this name", func(a *cluster.Addon, value any) error { return putText(&a.Name, value) }},
		{"manifests", String, "file or directory of manifests, or directory with a kustomization.yaml; a path alone in place of the mapping means the same",
			func(a *cluster.Addon, value any) error { return putPath(&a.Manifests, value) }},
		{"chart", String, "directory or archive of a Helm chart", func(a *cluster.Addon, value any) error { return putPath(&a.Chart, value) }},
		{"values", Values, "values of the chart, or a file with them", func(a *cluster.Addon, value any) (err error) {
			if _, ok := value.(string); ok {
				return putPath(&a.ValuesFile, value)
			}
			a.Values, err = mapping(value)
			return err
		}},
		{"namespace", String, "namespace of objects that do not name one, created if it is missing; default by default", func(a *cluster.Addon, value any) error { return putText(&a.Namespace, value) }},
	}
}

// parseAddon reads an addon from a value as package json decodes it.
func parseAddon(value any) (cluster.Addon, error) {
	var addon cluster.Addon
	if path, ok := value.(string); ok {
		err := putPath(&addon.Manifests, path)
		return addon, err
	}
	fields, err := mapping(value)
	if err != nil {
		return addon, errors.New("it must be a path or a mapping")
	}
	var known []string
	keys := AddonKeys()
	for _, k := range keys {
		known = append(known, k.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		i := slices.Index(known, name)
		if i < 0 {
			return addon, fmt.Errorf("unknown key %q: %s", name, keyHint(name, known))
		}
		if err := keys[i].put(&addon, fields[name]); err != nil {
			return addon, fmt.Errorf("%s: %w", name, err)
		}
	}
	return addon, nil
}

var remote = regexp.MustCompile(`^[a-z0-9+.-]+://`)

// putPath takes a path on this host.
func putPath(to *string, value any) error {
	path, ok := value.(string)
	switch {
	case !ok || path == "":
		return errors.New("it must be a path")
	case remote.MatchString(path):
		return fmt.Errorf("%s is a URL: addons are read from this host, so download it first", path)
	case strings.ContainsAny(path, "\n\x00"):
		return fmt.Errorf("invalid path %q", path)
	}
	*to = path
	return nil
}
