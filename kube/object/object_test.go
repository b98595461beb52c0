package object

import (
	"testing"
	"time"
)

func TestPathsMatchTheAPI(t *testing.T) {
	pods := Resource{Version: "v1", Name: "pods", Namespaced: true}
	deployments := Resource{Group: "apps", Version: "v1", Name: "deployments", Namespaced: true}
	nodes := Resource{Version: "v1", Name: "nodes"}
	for _, c := range []struct{ got, want string }{
		{pods.Path("", ""), "/api/v1/pods"}, {pods.Path("shop", "web"), "/api/v1/namespaces/shop/pods/web"},
		{deployments.Path("shop", ""), "/apis/apps/v1/namespaces/shop/deployments"}, {nodes.Path("ignored", "n1"), "/api/v1/nodes/n1"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestTitleIsThePluralOfTheKind(t *testing.T) {
	for want, r := range map[string]Resource{
		"StatefulSets": {Name: "statefulsets", Kind: "StatefulSet"}, "Ingresses": {Name: "ingresses", Kind: "Ingress"},
		"NetworkPolicies": {Name: "networkpolicies", Kind: "NetworkPolicy"}, "Endpoints": {Name: "endpoints", Kind: "Endpoints"},
		"Octopi": {Name: "octopi", Kind: "Octopus"}, "": {},
	} {
		if got := r.Title(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestResourcesAreFoundByAnyOfTheirNames(t *testing.T) {
	all := []Resource{
		{Version: "v1", Name: "pods", Singular: "pod", Kind: "Pod", Short: []string{"po"}},
		{Group: "apps", Version: "v1", Name: "deployments", Singular: "deployment", Kind: "Deployment", Short: []string{"deploy"}},
		{Group: "metrics.k8s.io", Version: "v1", Name: "pods", Kind: "PodMetrics"},
	}
	for name, want := range map[string]string{
		"pods": "pods", "po": "pods", "Pod": "pods", "deploy": "deployments.apps", "deployments.apps": "deployments.apps",
		"deployments.a": "deployments.apps", "pods.metrics": "pods.metrics.k8s.io", "PODMETRICS": "pods.metrics.k8s.io",
	} {
		if r, ok := Find(all, name); !ok || r.ID() != want {
			t.Errorf("%s: got %s", name, r.ID())
		}
	}
	if _, ok := Find(all, "ships"); ok {
		t.Error("Find returns a resource that does not exist")
	}
}

func TestCellsSortByTheirMeaning(t *testing.T) {
	for _, c := range []struct{ less, more string }{
		{"2", "10"}, {"59s", "2m"}, {"3h", "2d"}, {"900Mi", "1Gi"}, {"<none>", "0"}, {"1/2", "2/2"}, {"0/1", "1/1"},
		{"7 (3m ago)", "12 (1s ago)"}, {"9", "apple"}, {"apple", "pear"}, {"3%", "20%"},
	} {
		if got := RankOf(c.less).Compare(RankOf(c.more)); got >= 0 {
			t.Errorf("%s does not sort before %s: %d", c.less, c.more, got)
		}
	}
}

func TestAgesGrowAfterTheyWereRead(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := &Row{Cells: []string{"web", "3 (5m ago)", "5m", "90s"}, Created: now.Add(-time.Hour), Read: now.Add(-10 * time.Minute)}
	for i, c := range []struct{ column, want string }{{"Name", "web"}, {"Restarts", "3 (15m ago)"}, {"Age", "60m"}, {"Last Seen", "11m"}} {
		if got := r.Cell(Column{Name: c.column}, i, now); got != c.want {
			t.Errorf("%s: got %s, want %s", c.column, got, c.want)
		}
	}
	if got := r.Cell(Column{Name: "Gone"}, 9, now); got != "" {
		t.Errorf("a missing cell is %q", got)
	}
}

func FuzzParseAge(f *testing.F) {
	for _, s := range []string{"5m", "3h10m", "2y45d", "99999999999s", "", "m", "-1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := ParseAge(text); ok && (d < 0 || d > maxAge) {
			t.Errorf("%q is %s", text, d)
		}
		RankOf(text).Compare(RankOf(""))
	})
}
