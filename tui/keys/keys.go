// Package keys is the key map as data: screens name actions, the map says which
// keys mean them, and the help that people read is made from the same map.
package keys

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Action is what a key means.
type Action string

// Scope is where a binding holds.
type Scope string

// The scopes; a screen names those that hold for it, the first wins.
const (
	Everywhere Scope = "everywhere"
	List       Scope = "list"     // any table
	Objects    Scope = "objects"  // where a Kubernetes object is under the cursor
	Rows       Scope = "rows"     // tables of which many rows can be marked
	Columns    Scope = "columns"  // tables with more columns than the usual ones
	Spaces     Scope = "spaces"   // what is in namespaces
	Pods       Scope = "pods"     // tables of pods
	Scalable   Scope = "scalable" // workloads with replicas
	Rollout    Scope = "rollout"  // workloads with a history
	Selecting  Scope = "selects"  // what selects pods
	Cronjobs   Scope = "cronjobs"
	Nodes      Scope = "nodes"
	Clusters   Scope = "clusters"
	Secrets    Scope = "secrets"
	Containers Scope = "containers"
	Forwards   Scope = "forwards"
	Text       Scope = "text"
	Document   Scope = "document" // a text about one object
	Logs       Scope = "logs"
	Tree       Scope = "tree"
	History    Scope = "history"
	Choosing   Scope = "choosing"
	Cards      Scope = "cards"
)

// Binding is one action in one scope.
type Binding struct {
	Scope  Scope
	Action Action
	Keys   []string
	Help   string
	// Changes says that the action changes something: not in read-only mode.
	Changes bool
	// Hint says that the line at the bottom names it.
	Hint bool
}

// Map is a set of bindings.
type Map struct{ bindings []Binding }

// Default is the map before a file changes it.
func Default() Map { return Map{slices.Clone(defaults)} }

// Lookup is the action that key means where these scopes hold.
func (m Map) Lookup(key string, scopes ...Scope) (Binding, bool) {
	for _, scope := range append(slices.Clone(scopes), Everywhere) {
		for _, b := range m.bindings {
			if b.Scope == scope && slices.Contains(b.Keys, key) {
				return b, true
			}
		}
	}
	return Binding{}, false
}

// In are the bindings of the scopes, in the order of the scopes.
func (m Map) In(scopes ...Scope) []Binding {
	var found []Binding
	taken := map[string]bool{}
	for _, scope := range append(slices.Clone(scopes), Everywhere) {
		for _, b := range m.bindings {
			if b.Scope != scope {
				continue
			}
			b.Keys = slices.DeleteFunc(slices.Clone(b.Keys), func(k string) bool { return taken[k] })
			for _, k := range b.Keys {
				taken[k] = true
			}
			if len(b.Keys) > 0 {
				found = append(found, b)
			}
		}
	}
	return found
}

// Rebind gives actions other keys: {"describe": "D"}, or {"logs.wrap": "w x"}
// to name the scope as well. An empty text leaves the action without a key.
func (m Map) Rebind(changes map[string]string) (Map, error) {
	m = Map{slices.Clone(m.bindings)}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		scope, action, scoped := strings.Cut(name, ".")
		if !scoped {
			scope, action = "", name
		}
		found := false
		for i, b := range m.bindings {
			if string(b.Action) == action && (scope == "" || string(b.Scope) == scope) {
				m.bindings[i].Keys, found = strings.Fields(changes[name]), true
			}
		}
		if !found {
			return m, fmt.Errorf("unknown action %q", name)
		}
	}
	return m, m.check()
}

// check finds keys that mean two things in one scope.
func (m Map) check() error {
	seen := map[string]Action{}
	for _, b := range m.bindings {
		for _, k := range b.Keys {
			at := string(b.Scope) + " " + k
			if other, taken := seen[at]; taken {
				return fmt.Errorf("key %s is bound to both %q and %q in %s", k, other, b.Action, b.Scope)
			}
			seen[at] = b.Action
		}
	}
	return nil
}

// Label is how a key is written for people.
func Label(key string) string {
	switch key {
	case "space", " ":
		return "space"
	case "up":
		return "↑"
	case "down":
		return "↓"
	case "left":
		return "←"
	case "right":
		return "→"
	case "enter":
		return "⏎"
	}
	return strings.ReplaceAll(strings.ReplaceAll(key, "shift+", "⇧"), "ctrl+", "^")
}
