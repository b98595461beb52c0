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

// The same kinds are listed in web/app/src/ui/action.tsx.
func TestKindsWhoseLossTakesOthersWithItNeedTheirNameTyped(t *testing.T) {
	typed := []string{"nodes", "persistentvolumes", "namespaces", "customresourcedefinitions.apiextensions.k8s.io"}
	for _, k := range kinds {
		ref := object.Ref{Cluster: "dev", Resource: k.Resource, Name: "a"}
		question := confirm("Delete", feed.VerbDelete, []object.Ref{ref})[0].(screen.Ask)
		if want := slices.Contains(typed, k.Resource.ID()); want != (question.Word == "a") {
			t.Errorf("%s: the word to type is %q", k.Resource.ID(), question.Word)
		}
		if several := confirm("Delete", feed.VerbDelete, []object.Ref{ref, ref})[0].(screen.Ask); (several.Word == "delete 2") != (question.Word != "") {
			t.Errorf("several %s: the word to type is %q", k.Resource.ID(), several.Word)
		}
		if !slices.Contains(question.Lines, "a") {
			t.Errorf("%s: the question does not name the object: %q", k.Resource.ID(), question.Lines)
		}
	}
}
