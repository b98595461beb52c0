package settings

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/skiff-dev/skiff/vm/cluster"
)

// groups is a list of groups of nodes.
func groups(s Setting, at func(*cluster.Spec) *[]cluster.Group) Setting {
	s.Type = Groups
	s.get = func(*cluster.Spec) any { return []string{} }
	s.put = func(spec *cluster.Spec, value any) error {
		*at(spec) = nil
		items, ok := value.([]any)
		if value != nil && !ok {
			return errors.New(`it must be a list, such as [{name: gpu, count: 2}]`)
		}
		for i, item := range items {
			group, err := parseGroup(item)
			if err != nil {
				return fmt.Errorf("entry %d: %w", i+1, err)
			}
			*at(spec) = append(*at(spec), group)
		}
		return nil
	}
	return s
}

// GroupKey is one key of a group of nodes.
type GroupKey struct {
	Name string
	Type Type
	// Description starts in lower case and has no full stop.
	Description string
	put         func(*cluster.Group, any) error
}

// GroupKeys returns the keys of a group of nodes in the order in which they are
// documented.
func GroupKeys() []GroupKey {
	return []GroupKey{
		{"name", String, "name of the group; its nodes are NAME-1, NAME-2 and so on. An entry named worker or control-plane changes the plain workers or the control planes",
			func(g *cluster.Group, value any) error { return putText(&g.Name, value) }},
		{"count", Count, "number of nodes, 1 by default, or a range within which the group is scaled", func(g *cluster.Group, value any) error {
			text, err := countText(value)
			if err == nil {
				g.Count, g.Span, err = cluster.ParseCount(text)
			}
			return err
		}},
		{"cpus", Integer, "number of CPUs of each node, instead of `cpus`", func(g *cluster.Group, value any) error { return putNumber(&g.CPUs, value) }},
		{"memory", Quantity, "memory of each node, instead of `memory`", func(g *cluster.Group, value any) error { return putText(&g.Memory, value) }},
		{"disk", Quantity, "maximum disk size of each node, instead of `disk`", func(g *cluster.Group, value any) error { return putText(&g.Disk, value) }},
		{"arch", String, "architecture of the nodes, amd64 or arm64. Nodes of another architecture than the host's are emulated, which needs the driver lima with QEMU",
			func(g *cluster.Group, value any) error { return putText(&g.Arch, value) }},
		{"zone", String, "letter of the zone of all nodes, such as b for local-b; without it they are spread over all zones",
			func(g *cluster.Group, value any) error { return putText(&g.Zone, value) }},
		{"labels", Texts, "labels of the nodes", func(g *cluster.Group, value any) (err error) {
			g.Labels, err = parsed(value, scalar)
			return err
		}},
		{"taints", List, "taints of the nodes, KEY=VALUE:EFFECT or KEY:EFFECT", func(g *cluster.Group, value any) error { return putTexts(&g.Taints, value) }},
		{"kubelet", Object, "fields of a KubeletConfiguration, merged with `kubernetes.kubelet`", func(g *cluster.Group, value any) (err error) {
			g.Kubelet, err = mapping(value)
			return err
		}},
	}
}

// parseGroup reads a group from a value as package json decodes it.
func parseGroup(value any) (cluster.Group, error) {
	group := cluster.Group{Count: 1}
	fields, err := mapping(value)
	if err != nil {
		return group, err
	}
	keys := GroupKeys()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		i := slices.IndexFunc(keys, func(k GroupKey) bool { return k.Name == name })
		if i < 0 {
			return group, unknownGroupKey(name, keys)
		}
		if err := keys[i].put(&group, fields[name]); err != nil {
			return group, fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, given := fields["count"]; !given && cluster.IsOwnGroup(group.Name) {
		group.Count = 0
	}
	return group, nil
}

// countText returns a number of nodes, or a mapping with min and max, in the notation of
// cluster.ParseCount.
func countText(value any) (string, error) {
	fields, ok := value.(map[string]any)
	if !ok {
		return scalar("it", value)
	}
	var least, most int
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		to := map[string]*int{"min": &least, "max": &most}[name]
		if to == nil {
			return "", fmt.Errorf("unknown key %q: %s", name, keyHint(name, []string{"min", "max"}))
		}
		if err := putNumber(to, fields[name]); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range []string{"min", "max"} {
		if _, ok := fields[name]; !ok {
			return "", fmt.Errorf("%s is missing: use {min: 1, max: 5}", name)
		}
	}
	return cluster.Span{Min: least, Max: most}.String(), nil
}

func unknownGroupKey(name string, keys []GroupKey) error {
	var known []string
	for _, k := range keys {
		known = append(known, k.Name)
	}
	return fmt.Errorf("unknown key %q: %s", name, keyHint(name, known))
}

func putText(to *string, value any) (err error) {
	if *to, err = scalar("it", value); err != nil {
		return errors.New("it must be a single value")
	}
	return nil
}

func putNumber(to *int, value any) error {
	number, ok := value.(float64)
	if !ok || number != math.Trunc(number) || math.Abs(number) > math.MaxInt32 {
		return fmt.Errorf("%v is not a whole number", value)
	}
	*to = int(number)
	return nil
}

func putTexts(to *[]string, value any) error {
	items, ok := value.([]any)
	if value != nil && !ok {
		return errors.New("it must be a list")
	}
	for _, item := range items {
		var text string
		if err := putText(&text, item); err != nil {
			return errors.New("its items must be single values")
		}
		*to = append(*to, text)
	}
	return nil
}
