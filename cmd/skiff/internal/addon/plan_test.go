package addon

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/skiff-dev/skiff/kube/applyset"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// parsed returns the object of a manifest.
func parsed(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	objects, err := parse("test", []byte(manifest))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	return objects[0].Unstructured
}

func TestThePlanNamesWhatApplyChanges(t *testing.T) {
	dir := write(t, map[string]string{"web.yaml": config})
	web, err := Load([]cluster.Addon{in(dir, cluster.Addon{Manifests: "web.yaml"})})
	if err != nil {
		t.Fatal(err)
	}
	set, err := web[0].Set(Target{})
	if err != nil {
		t.Fatal(err)
	}
	current := applyset.Recorded{Name: "web", Digest: set.Digest()}
	for what, test := range map[string]struct {
		addons []Addon
		known  map[string]applyset.Recorded
		before []cluster.Addon
		want   string
	}{
		"a new cluster":                     {web, nil, nil, "apply addon web (new)"},
		"a stopped cluster":                 {web, nil, []cluster.Addon{{Name: "web"}, {Name: "old"}}, "apply addon web (the cluster is not running: whether it has changed is not known); delete addon old (not configured any more)"},
		"a new addon":                       {web, map[string]applyset.Recorded{}, nil, "apply addon web (new)"},
		"no change":                         {web, map[string]applyset.Recorded{"web": current}, nil, ""},
		"a change":                          {web, map[string]applyset.Recorded{"web": {Name: "web", Digest: "other"}}, nil, "apply addon web (changed)"},
		"an interrupted one":                {web, map[string]applyset.Recorded{"web": {Name: "web"}}, nil, "apply addon web (incomplete)"},
		"a removed one":                     {nil, map[string]applyset.Recorded{"web": current}, nil, "delete addon web (not configured any more)"},
		"one that was removed by hand":      {web, map[string]applyset.Recorded{}, []cluster.Addon{{Name: "web"}}, "apply addon web (new)"},
		"a removed one that is not applied": {nil, map[string]applyset.Recorded{}, []cluster.Addon{{Name: "web"}}, ""},
	} {
		steps, err := Plan(test.addons, Target{}, test.known, test.before)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		var lines []string
		for _, s := range steps {
			lines = append(lines, s.String())
		}
		if got := strings.Join(lines, "; "); got != test.want {
			t.Errorf("%s: %q, want %q", what, got, test.want)
		}
	}
}
