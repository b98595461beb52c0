package runtest

import (
	"testing"
	"time"
)

// Action is a request to client-go's fake API.
type Action interface {
	Matches(verb, resource string) bool
}

// AwaitWatch waits until resource is watched in client-go's fake API, which tells nobody
// about objects that change between a list and the watch that follows it. The function
// actions returns all requests so far.
func AwaitWatch[A Action](t testing.TB, actions func() []A, resource string) {
	t.Helper()
	for deadline := time.Now().Add(limit); !watched(actions(), resource); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nobody watches %s", resource)
		}
	}
}

// watched reports whether the last list of resource was followed by a watch.
func watched[A Action](actions []A, resource string) bool {
	yes := false
	for _, action := range actions {
		switch {
		case action.Matches("list", resource):
			yes = false
		case action.Matches("watch", resource):
			yes = true
		}
	}
	return yes
}
