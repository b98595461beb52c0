package addon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/kube/applyset"
	"github.com/skiff-dev/skiff/vm/cluster"
)

const (
	definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: boats.example.com}\n" +
		"spec: {group: example.com, scope: Namespaced, names: {kind: Boat, plural: boats}, versions: [{name: v1}]}\n"
	config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\n"
)

// chartFiles are those of a chart whose objects depend on values, on the cluster and on
// the release.
var chartFiles = map[string]string{
	"chart/Chart.yaml":             "apiVersion: v2\nname: web\nversion: 1.2.3\nkubeVersion: \">=1.30.0\"\n",
	"chart/values.yaml":            "color: red\nboats: false\n",
	"chart/values.schema.json":     `{"properties": {"color": {"type": "string"}}}`,
	"chart/crds/crd.yaml":          definition,
	"chart/templates/NOTES.txt":    "Installed.",
	"chart/templates/_helpers.tpl": `{{ define "name" }}{{ .Release.Name }}-web{{ end }}`,
	"chart/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ include \"name\" . }}}\n" +
		"data: {color: {{ .Values.color }}, namespace: {{ .Release.Namespace }}, version: {{ .Capabilities.KubeVersion.Version }}}\n",
	"chart/templates/boat.yaml": "{{ if .Capabilities.APIVersions.Has \"example.org/v1/Boat\" }}\napiVersion: example.org/v1\nkind: Boat\nmetadata: {name: boat}\n{{ end }}",
	"chart/templates/hooks.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: test, annotations: {helm.sh/hook: test}}\n---\n" +
		"apiVersion: v1\nkind: Pod\nmetadata: {name: cleanup, annotations: {helm.sh/hook: \"pre-delete,post-rollback\"}}\n---\n" +
		"apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, annotations: {helm.sh/hook: \"pre-upgrade, post-install\"}}\n",
}

// write writes files to a new directory and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// in returns the addon with paths below a directory.
func in(dir string, a cluster.Addon) cluster.Addon {
	for _, path := range []*string{&a.Manifests, &a.Chart, &a.ValuesFile} {
		if *path != "" {
			*path = filepath.Join(dir, *path)
		}
	}
	if a.Name == "" {
		a.Name = cluster.AddonName(a.Path())
	}
	return a
}

func predicted(t *testing.T, version string) Target {
	t.Helper()
	target, err := Predicted(version)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// names returns the objects of an addon.
func names(t *testing.T, target Target, a Addon) []string {
	t.Helper()
	set, err := a.Set(target)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, o := range set.Objects {
		all = append(all, applyset.Name(o))
	}
	return all
}

func TestAddonsAreReadFromFilesDirectoriesAndKustomizations(t *testing.T) {
	dir := write(t, map[string]string{
		"one.yaml":                    config + "---\n---\n# nothing\n---\napiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret, metadata: {name: listed}}]\n",
		"many/b.yml":                  strings.Replace(config, "name: config", "name: b", 1),
		"many/a/c.json":               `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}}`,
		"many/README.md":              "no manifest",
		"many/.git/x.yaml":            "no manifest: [",
		"overlay/kustomization.yaml":  "namePrefix: big-\nresources: [lamp.yaml]\n",
		"overlay/lamp.yaml":           config,
		"overlay/unused.yaml":         "no manifest",
		"many/.hidden.yaml":           "no manifest",
		"many/a/deeper/empty.yaml":    "# only a comment\n",
		"many/a/deeper/deployment.md": "",
	})
	for _, test := range []struct {
		path, kind string
		want       []string
	}{
		{"one.yaml", KindManifests, []string{"configmap config", "secret listed"}},
		{"many", KindManifests, []string{"configmap shop/c", "configmap b"}},
		{"overlay", KindKustomization, []string{"configmap big-config"}},
	} {
		all, err := Load([]cluster.Addon{in(dir, cluster.Addon{Manifests: test.path})})
		if err != nil {
			t.Errorf("%s: %v", test.path, err)
			continue
		}
		if got := names(t, Target{}, all[0]); all[0].Kind != test.kind || !slices.Equal(got, test.want) {
			t.Errorf("%s: %s with %q, want %s with %q", test.path, all[0].Kind, got, test.kind, test.want)
		}
	}
}

func TestAChartIsRenderedWithoutItsTests(t *testing.T) {
	dir := write(t, chartFiles)
	all, err := Load([]cluster.Addon{in(dir, cluster.Addon{Name: "site", Chart: "chart", Namespace: "shop", Values: map[string]any{"color": "blue"}})})
	if err != nil {
		t.Fatal(err)
	}
	target := predicted(t, "1.36")
	want := []string{"customresourcedefinition.apiextensions.k8s.io boats.example.com", "configmap site-web", "job.batch migrate"}
	if got := names(t, target, all[0]); !slices.Equal(got, want) {
		t.Errorf("objects %q, want %q", got, want)
	}
	set, err := all[0].Set(target)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"color": "blue", "namespace": "shop", "version": "v1.36.0"} {
		if got := set.Objects[1].Object["data"].(map[string]any)[key]; got != want {
			t.Errorf("%s is %v, want %s", key, got, want)
		}
	}
	if set.Source != "chart web 1.2.3" || set.Namespace != "shop" || set.Strict {
		t.Errorf("set %q in %q, strict %v", set.Source, set.Namespace, set.Strict)
	}
	other := predicted(t, "1.36").with([]object{{Unstructured: parsed(t, strings.ReplaceAll(definition, "example.com", "example.org"))}})
	if got := names(t, other, all[0]); !slices.Contains(got, "boat.example.org boat") {
		t.Errorf("with the API of another addon: %q", got)
	}
}

func TestAnAddonIsTheSameUntilItsFilesOrValuesChange(t *testing.T) {
	dir := write(t, chartFiles)
	digest := func(a cluster.Addon) string {
		t.Helper()
		all, err := Load([]cluster.Addon{in(dir, a)})
		if err != nil {
			t.Fatal(err)
		}
		set, err := all[0].Set(predicted(t, "1.36"))
		if err != nil {
			t.Fatal(err)
		}
		return set.Digest()
	}
	a := cluster.Addon{Chart: "chart"}
	before := digest(a)
	if again := digest(a); again != before {
		t.Error("the same addon has another digest")
	}
	b, c := a, a
	b.Values, c.Namespace = map[string]any{"color": "blue"}, "shop"
	if digest(b) == before || digest(c) == before {
		t.Error("another addon has the same digest")
	}
}

func TestBadAddonsAreRefusedInOneLine(t *testing.T) {
	files := map[string]string{
		"good.yaml": config, "twin.yaml": config, "empty.yaml": "# nothing\n", "dir/readme.txt": "", "syntax.yaml": config + "---\nkind: [\n",
		"duplicate.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  name: b\n", "nameless.yaml": "\n# first\napiVersion: v1\nkind: ConfigMap\n",
		"scalar.yaml": "text\n", "nested/sub/kustomization.yaml": "", "broken/kustomization.yaml": "resources: [missing.yaml]\n",
		"nochart/values.yaml": "", "old/Chart.yaml": "apiVersion: v2\nname: old\nversion: 1.0.0\nkubeVersion: \"<1.20.0\"\n",
		"library/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.0.0\ntype: library\n", "unnamed/Chart.yaml": "apiVersion: v2\nversion: 1.0.0\n",
		"needy/Chart.yaml":       "apiVersion: v2\nname: needy\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0, repository: \"https://charts.example\"}]\n",
		"wrong/Chart.yaml":       "apiVersion: v2\nname: wrong\nversion: 1.0.0\n",
		"wrong/templates/x.yaml": "{{ .Values.a.b.c }}\n", "values.yaml": "color: [\n",
		"junk/Chart.yaml": "apiVersion: v2\nname: junk\nversion: 1.0.0\n", "junk/templates/x.yaml": "a: 1\nb: [\n",
	}
	for name, content := range chartFiles {
		files[name] = content
	}
	dir := write(t, files)
	for _, test := range []struct {
		addons []cluster.Addon
		want   string
	}{
		{[]cluster.Addon{{Manifests: "missing"}}, "addon missing: DIR/missing: no such file or directory"},
		{[]cluster.Addon{{Manifests: "empty.yaml"}}, "addon empty: DIR/empty.yaml has no objects"},
		{[]cluster.Addon{{Manifests: "dir"}}, "addon dir: DIR/dir has no objects"},
		{[]cluster.Addon{{Manifests: "syntax.yaml"}}, "addon syntax: DIR/syntax.yaml:5: did not find expected node content"},
		{[]cluster.Addon{{Manifests: "duplicate.yaml"}}, `addon duplicate: DIR/duplicate.yaml:5: key "name" already set in map`},
		{[]cluster.Addon{{Manifests: "nameless.yaml"}}, "addon nameless: DIR/nameless.yaml:3: an object needs apiVersion, kind and metadata.name"},
		{[]cluster.Addon{{Manifests: "scalar.yaml"}}, "addon scalar: DIR/scalar.yaml:1: it is not an object"},
		{[]cluster.Addon{{Manifests: "nested"}}, "addon nested: DIR/nested/sub is a kustomization or a chart: make it an addon of its own"},
		{[]cluster.Addon{{Manifests: "broken"}}, "addon broken: DIR/broken: accumulating resources"},
		{[]cluster.Addon{{Manifests: "chart"}}, "addon chart: DIR/chart is a chart: write {chart: DIR/chart}"},
		{[]cluster.Addon{{Chart: "nochart"}}, "addon nochart: DIR/nochart has no Chart.yaml"},
		{[]cluster.Addon{{Chart: "unnamed"}}, "addon unnamed: DIR/unnamed: validation: chart.metadata.name is required"},
		{[]cluster.Addon{{Chart: "old"}}, "addon old: chart old needs Kubernetes <1.20.0, and the cluster has v1.36.0"},
		{[]cluster.Addon{{Chart: "library"}}, "addon library: DIR/library is a library chart, which has no objects"},
		{[]cluster.Addon{{Chart: "needy"}}, `addon needy: DIR/needy: chart db, which it depends on, is missing: run "helm dependency build DIR/needy"`},
		{[]cluster.Addon{{Chart: "chart", ValuesFile: "missing.yaml"}}, "addon chart: DIR/missing.yaml: no such file or directory"},
		{[]cluster.Addon{{Chart: "chart", ValuesFile: "values.yaml"}}, "addon chart: DIR/values.yaml:1: "},
		{[]cluster.Addon{{Chart: "chart", Values: map[string]any{"color": 3}}}, "addon chart: DIR/chart: values don't meet the specifications of the schema(s) in the following chart(s): web: - at '/color': got number, want string"},
		{[]cluster.Addon{{Chart: "wrong"}}, "addon wrong: "},
		{[]cluster.Addon{{Chart: "junk"}}, "addon junk: rendered junk/templates/x.yaml:2: did not find expected node content"},
		{
			[]cluster.Addon{{Manifests: "good.yaml"}, {Manifests: "twin.yaml", Namespace: "default"}},
			"configmap config is in addon good (DIR/good.yaml:1) and in addon twin (DIR/twin.yaml:1)",
		},
		{
			[]cluster.Addon{{Name: "a", Chart: "chart", Namespace: "a"}, {Name: "b", Chart: "chart", Namespace: "b"}},
			"customresourcedefinition.apiextensions.k8s.io boats.example.com is in addon a (web/crds/crd.yaml:1) and in addon b (web/crds/crd.yaml:1)",
		},
	} {
		var specs []cluster.Addon
		for _, a := range test.addons {
			specs = append(specs, in(dir, a))
		}
		all, err := Load(specs)
		if err == nil {
			err = Check(all, predicted(t, "1.36"))
		}
		got := "no error"
		if err != nil {
			got = strings.ReplaceAll(err.Error(), dir, "DIR")
		}
		if !strings.HasPrefix(got, test.want) || strings.Contains(got, "\n") {
			t.Errorf("%v:\ngot  %s\nwant %s", test.addons, got, test.want)
		}
	}
}

func TestTheSameNameInAnotherNamespaceIsAnotherObject(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": config, "b.yaml": config})
	all, err := Load([]cluster.Addon{in(dir, cluster.Addon{Manifests: "a.yaml"}), in(dir, cluster.Addon{Manifests: "b.yaml", Namespace: "shop"})})
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(all, predicted(t, "1.36")); err != nil {
		t.Error(err)
	}
}

func TestAddonsHaveABound(t *testing.T) {
	dir := write(t, map[string]string{"a.yaml": config})
	left := int64(len(config)) - 1
	if _, err := load(in(dir, cluster.Addon{Manifests: "a.yaml"}), &left); err == nil || !strings.Contains(err.Error(), "addons are larger than 64 MiB") {
		t.Errorf("got %v", err)
	}
}
