package kubeconfig

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// value is what key has in a mapping, nil if there is none.
func value(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func set(mapping *yaml.Node, key string, to *yaml.Node) {
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			mapping.Content[i+1] = to
			return
		}
	}
	mapping.Content = append(mapping.Content, scalar(key), to)
}

func scalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

func text(node *yaml.Node) string {
	if node == nil || node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		return ""
	}
	return node.Value
}

// find is the entry of a list of mappings whose "name" is name.
func find(list *yaml.Node, name string) *yaml.Node {
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	for _, item := range list.Content {
		if entry := value(item, "name"); entry != nil && entry.Value == name {
			return item
		}
	}
	return nil
}

// replaceEntry puts entry in the place of the list's entry of that name, or at
// its end.
func replaceEntry(list, entry *yaml.Node, name string) (changed bool) {
	for i, item := range list.Content {
		if n := value(item, "name"); n != nil && n.Value == name {
			if same(item, entry) {
				return false
			}
			list.Content[i] = entry
			return true
		}
	}
	if len(list.Content) == 0 {
		list.Style = 0 // "[]" becomes a block
	}
	list.Content = append(list.Content, entry)
	return true
}

func drop(list *yaml.Node, name string) (changed bool) {
	kept := list.Content[:0:0]
	for _, item := range list.Content {
		if n := value(item, "name"); n == nil || n.Value != name {
			kept = append(kept, item)
		}
	}
	changed = len(kept) != len(list.Content)
	list.Content = kept
	return changed
}

// same compares what two nodes say, not how they are written.
func same(a, b *yaml.Node) bool {
	var left, right any
	if a.Decode(&left) != nil || b.Decode(&right) != nil {
		return false
	}
	x, errX := yaml.Marshal(left)
	y, errY := yaml.Marshal(right)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
