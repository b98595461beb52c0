package kind

import (
	"slices"
	"testing"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
)

func TestEachKindIsInTheTableOnce(t *testing.T) {
	ids, aliases := map[string]bool{}, map[string]bool{}
	for _, k := range kinds {
		id := k.Resource.ID()
		if ids[id] {
			t.Errorf("%s is in the table twice", id)
		}
		ids[id] = true
		for _, alias := range k.Aliases {
			if aliases[alias] {
				t.Errorf("the alias %s is in the table twice", alias)
			}
			aliases[alias] = true
		}
		if k.Deletion.One == "" || k.Deletion.Many == "" {
			t.Errorf("%s: nothing says what a deletion loses", id)
		}
		if k.Workload != nil && k.Workload.Ready == nil {
			t.Errorf("%s: no way to read how many pods are ready", id)
		}
	}
}

func TestAnUnknownKindHasTheDefaults(t *testing.T) {
	boats := object.Resource{Group: "example.com", Version: "v1", Name: "boats", Kind: "Boat", Namespaced: true}
	ref := object.Ref{Cluster: "dev", Resource: boats, Namespace: "shop", Name: "ark"}
	requests := Act(&screen.World{}, keys.Enter, On(ref))
	if to := requests[0].(screen.Open).To.(screen.Document).Need; to.Ref.Name != ref.Name || to.Kind != feed.Description {
		t.Errorf("opened %+v", to)
	}
	if ask := Act(&screen.World{}, keys.Delete, On(ref))[0].(screen.Ask); !slices.Contains(ask.Lines, other.One) || ask.Word != "" {
		t.Errorf("asked %+v", ask)
	}
}

func TestATaskOnSeveralClustersIsSplit(t *testing.T) {
	at := func(cluster, name string) object.Ref {
		return object.Ref{Cluster: cluster, Resource: object.Pods, Name: name}
	}
	requests := DoAll(feed.VerbDelete, []object.Ref{at("dev", "a"), at("ci", "b"), at("dev", "c")}, nil)
	if len(requests) != 2 {
		t.Fatalf("got %v", requests)
	}
	if first := requests[0].(screen.Do); first.Cluster != "dev" || len(first.Task.Refs) != 2 {
		t.Errorf("the first is %+v", first)
	}
}
