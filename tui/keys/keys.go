// Package keys holds the key map as data. Screens handle actions; the map binds
// keys to them, and the help is generated from the same map.
package keys

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Action is what a key does.
type Action string

// Scope is where a binding applies.
type Scope string

// The scopes. A screen lists those that apply to it; the first one wins.
const (
	Everywhere Scope = "everywhere"
	List       Scope = "list"      // any table
	Objects    Scope = "objects"   // Kubernetes objects
	Rows       Scope = "rows"      // tables whose rows can be marked
	Columns    Scope = "columns"   // tables with wide columns
	Namespaced Scope = "spaces"    // namespaced objects
	Pods       Scope = "pods"      // pods
	Scalable   Scope = "scalable"  // workloads with replicas
	Rollout    Scope = "rollout"   // workloads with a history
	Selecting  Scope = "selects"   // objects that select pods
	Reachable  Scope = "reachable" // what has addresses on this host
	CronJobs   Scope = "cronjobs"
	Nodes      Scope = "nodes"
	Clusters   Scope = "clusters"
	Secrets    Scope = "secrets"
	Containers Scope = "containers"
	Forwards   Scope = "forwards"
	Text       Scope = "text"
	Document   Scope = "document" // a text about one object
	Measured   Scope = "measured" // a description with graphs
	Logs       Scope = "logs"
	Tree       Scope = "tree"
	History    Scope = "history"
	Selection  Scope = "choosing"
	Cards      Scope = "cards"
)

// Binding is one action in one scope.
type Binding struct {
	Scope  Scope
	Action Action
	Keys   []string
	Help   string
	// Changes marks an action that changes something. It is disabled in read-only mode.
	Changes bool
	// Hint lists the action in the last line of the screen.
	Hint bool
}

// Map is a set of bindings.
type Map struct{ bindings []Binding }

// Default returns the built-in map.
func Default() Map { return Map{slices.Clone(defaults)} }

// Lookup returns the binding of a key in the given scopes.
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

// In returns the bindings of the given scopes, without keys that an earlier scope uses.
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

// Rebind changes the keys of actions, e.g. {"describe": "D"}, or {"logs.wrap":
// "w x"} for one scope only. An empty value leaves the action without a key.
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

// check returns an error if a key has two actions in one scope.
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

// Label returns the display form of a key.
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
