package settings

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/skiff-dev/skiff/vm/cluster"
)

func TestAddonsAreReadWithPathsRelativeToTheFile(t *testing.T) {
	file, err := Parse("/etc/skiff/skiff.yaml", []byte(`
addons:
- ./manifests/
- {manifests: /opt/Extra_Things.yaml, name: extra}
- chart: ../charts/web-1.2.tgz
  namespace: shop
  values: {replicas: 2, image: {tag: "1"}}
- {chart: ./db, values: ./db.yaml}
`))
	if err != nil {
		t.Fatal(err)
	}
	base := cluster.Default()
	base.Addons = []cluster.Addon{{Name: "before", Manifests: "/before"}}
	spec, err := Resolve(flagSet(t), file, base)
	if err != nil {
		t.Fatal(err)
	}
	want := []cluster.Addon{
		{Name: "manifests", Manifests: "/etc/skiff/manifests"},
		{Name: "extra", Manifests: "/opt/Extra_Things.yaml"},
		{Name: "web-1-2", Chart: "/etc/charts/web-1.2.tgz", Namespace: "shop", Values: map[string]any{"replicas": 2.0, "image": map[string]any{"tag": "1"}}},
		{Name: "db", Chart: "/etc/skiff/db", ValuesFile: "/etc/skiff/db.yaml"},
	}
	if !reflect.DeepEqual(spec.Addons, want) {
		t.Errorf("addons %+v, want %+v", spec.Addons, want)
	}
	if spec, err := Resolve(flagSet(t), File{}, base); err != nil || len(spec.Addons) != 1 {
		t.Errorf("without the key: %+v, %v", spec.Addons, err)
	}
}

func TestAPathOfAnAddonMayBeRelativeToTheWorkingDirectory(t *testing.T) {
	file, err := Parse("skiff.yaml", []byte("addons: [web.yaml]"))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Resolve(flagSet(t), file, cluster.Default())
	if err != nil {
		t.Fatal(err)
	}
	if path := spec.Addons[0].Manifests; !filepath.IsAbs(path) || filepath.Base(path) != "web.yaml" || spec.Addons[0].Name != "web" {
		t.Errorf("addon %+v", spec.Addons[0])
	}
}

func TestAFaultInAnAddonNamesTheLineAndTheKey(t *testing.T) {
	for content, want := range map[string]string{
		"addons: ./manifests":                      "skiff.yaml:1: addons: it must be a list, such as [./manifests, {chart: ./chart}]",
		"addons: [3]":                              "skiff.yaml:1: addons: entry 1: it must be a path or a mapping",
		"addons: [\"\"]":                           "skiff.yaml:1: addons: entry 1: it must be a path",
		"addons: [./a, {chrt: ./b}]":               `skiff.yaml:1: addons: entry 2: unknown key "chrt": did you mean "chart"?`,
		"addons: [{chart: ./b, color: red}]":       `skiff.yaml:1: addons: entry 1: unknown key "color": valid keys are name, manifests, chart, values, namespace`,
		"addons: [{chart: [a]}]":                   "skiff.yaml:1: addons: entry 1: chart: it must be a path",
		"addons: [{chart: ./b, values: [a]}]":      "skiff.yaml:1: addons: entry 1: values: it must be a mapping",
		"addons: [{chart: ./b, namespace: [a]}]":   "skiff.yaml:1: addons: entry 1: namespace: it must be a single value",
		"addons: [https://x.example/a.yaml]":       "skiff.yaml:1: addons: entry 1: https://x.example/a.yaml is a URL: addons are read from this host, so download it first",
		"addons: [{chart: oci://x.example/chart}]": "skiff.yaml:1: addons: entry 1: chart: oci://x.example/chart is a URL: addons are read from this host, so download it first",
	} {
		file, err := Parse("skiff.yaml", []byte(content))
		if err == nil {
			_, err = Resolve(flagSet(t), file, cluster.Default())
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", content, err, want)
		}
	}
}
