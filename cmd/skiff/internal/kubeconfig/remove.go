package kubeconfig

import (
	"bytes"
	"encoding/json"
	"slices"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// remove removes one of our contexts with its cluster and user and restores what it
// remembers.
func (e *editor) remove(name string) (changed bool, err error) {
	context := e.config.Contexts[name]
	want := e.config.DeepCopy()
	m := memoryOf(context)
	entries := map[string]string{"contexts": name, "clusters": name, "users": name}
	if context != nil {
		entries["clusters"], entries["users"] = context.Cluster, context.AuthInfo
	}
	delete(want.Contexts, name)
	for _, list := range lists {
		entry := entries[list]
		if item, _ := e.item(list, entry); item == nil || !ours(entry) {
			continue
		}
		if err := e.apply(e.removeItem(list, entry)); err != nil {
			return false, err
		}
		changed = true
	}
	if ours(entries["clusters"]) {
		delete(want.Clusters, entries["clusters"])
	}
	if ours(entries["users"]) {
		delete(want.AuthInfos, entries["users"])
	}
	if e.config.CurrentContext == name {
		if want.CurrentContext, err = e.restoreCurrent(m, want); err != nil {
			return false, err
		}
		changed = true
	}
	if !changed {
		return false, nil
	}
	if err := e.handOn(name, m, want); err != nil {
		return false, err
	}
	return true, e.verify(want)
}

// restoreCurrent makes the context current again that was before, unless it is
// gone from this file, and returns it.
func (e *editor) restoreCurrent(m memory, want *clientcmdapi.Config) (string, error) {
	if slices.Contains(m.Added, currentContext) {
		return "", e.apply(e.removeKey(currentContext))
	}
	text, remembered := m.Text[currentContext]
	gone := m.Defined && want.Contexts[m.Previous] == nil
	if !remembered || gone {
		return "", e.setCurrent(`""`)
	}
	return m.Previous, e.apply(e.setRaw(currentContext, text))
}

// handOn gives what m remembers to our other contexts. If there are none, the
// file becomes what it was.
func (e *editor) handOn(name string, m memory, want *clientcmdapi.Config) error {
	if err := e.passOver(name, m, want); err != nil {
		return err
	}
	heir := ""
	for other := range want.Contexts {
		if ours(other) && (heir == "" || other < heir) {
			heir = other
		}
	}
	m.forgetCurrent()
	if heir == "" {
		return e.restore(m)
	}
	context := want.Contexts[heir]
	kept := memoryOf(context)
	before, _ := json.Marshal(kept)
	kept.Created, kept.Newline = kept.Created || m.Created, kept.Newline || m.Newline
	for _, key := range m.Added {
		if !slices.Contains(kept.Added, key) {
			kept.Added = append(kept.Added, key)
		}
	}
	for key, text := range m.Text {
		kept.remember(key, text)
	}
	if after, _ := json.Marshal(kept); bytes.Equal(before, after) {
		return nil
	}
	setMemory(context, kept)
	return e.rewrite(heir, kept)
}

// passOver lets our other contexts that remember name as the context before them
// remember what m does, the context before name.
func (e *editor) passOver(name string, m memory, want *clientcmdapi.Config) error {
	for other, context := range want.Contexts {
		kept := memoryOf(context)
		if !ours(other) || other == name || kept.Previous != name {
			continue
		}
		kept.Previous, kept.Defined = m.Previous, m.Defined
		kept.forgetCurrent()
		if slices.Contains(m.Added, currentContext) {
			kept.Added = append(kept.Added, currentContext)
		}
		if text, ok := m.Text[currentContext]; ok {
			kept.remember(currentContext, text)
		}
		if err := e.rewrite(other, kept); err != nil {
			return err
		}
		setMemory(context, kept)
	}
	return nil
}

func setMemory(context *clientcmdapi.Context, m memory) {
	raw, err := json.Marshal(m)
	if err != nil {
		return // a memory has only strings
	}
	if context.Extensions == nil {
		context.Extensions = map[string]runtime.Object{}
	}
	context.Extensions[extension] = &runtime.Unknown{Raw: raw}
}

// rewrite replaces the memory of one of our contexts.
func (e *editor) rewrite(name string, m memory) error {
	node, _ := e.item("contexts", name)
	if node == nil {
		return errStyle
	}
	var item map[string]any
	if err := node.Decode(&item); err != nil {
		return err
	}
	context, ok := item["context"].(map[string]any)
	if !ok {
		return errStyle
	}
	others, _ := context["extensions"].([]any)
	others = slices.DeleteFunc(others, func(one any) bool {
		named, ok := one.(map[string]any)
		return ok && named["name"] == extension
	})
	context["extensions"] = append(others, map[string]any{"name": extension, "extension": m})
	if err := e.apply(e.removeItem("contexts", name)); err != nil {
		return err
	}
	return e.apply(e.addItem("contexts", item))
}

// restore removes the keys that were added and puts back the values that were
// replaced, if nobody else has added to them.
func (e *editor) restore(m memory) error {
	for _, key := range lists {
		if e.length(key) > 0 {
			continue
		}
		if slices.Contains(m.Added, key) {
			if err := e.apply(e.removeKey(key)); err != nil {
				return err
			}
		} else if text, ok := m.Text[key]; ok {
			if err := e.apply(e.setRaw(key, text)); err != nil {
				return err
			}
		}
	}
	if slices.Contains(m.Added, "kind") && onlyHeader(e.root) {
		for _, key := range []string{"kind", "apiVersion"} {
			if err := e.apply(e.removeKey(key)); err != nil {
				return err
			}
		}
	}
	if m.Newline && e.root == nil {
		return e.apply(bytes.TrimSuffix(bytes.TrimSuffix(e.content, []byte("\n")), []byte("\r")), nil)
	}
	return nil
}

// onlyHeader reports whether the root has no keys but apiVersion and kind.
func onlyHeader(root *yaml.Node) bool {
	if root == nil {
		return false
	}
	for i := 0; i < len(root.Content); i += 2 {
		if key := root.Content[i].Value; key != "kind" && key != "apiVersion" {
			return false
		}
	}
	return true
}
