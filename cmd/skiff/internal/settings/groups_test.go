package settings

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/skiff-dev/skiff/vm/cluster"
)

func TestGroupsOfNodesAreRead(t *testing.T) {
	file, err := Parse("skiff.yaml", []byte(`
workers: 1
nodes:
- name: gpu
  count: 2
  cpus: 4
  memory: 8Gi
  disk: 40Gi
  arch: arm64
  zone: b
  labels: {accelerator: gpu, trusted: true, generation: 3}
  taints: ["accelerator=gpu:NoSchedule"]
  kubelet: {maxPods: 50}
- name: db
- name: worker
  memory: 3Gi
`))
	if err != nil {
		t.Fatal(err)
	}
	base := cluster.Default()
	base.Nodes = []cluster.Group{{Name: "before", Count: 1}}
	spec, err := Resolve(flagSet(t), file, base)
	if err != nil {
		t.Fatal(err)
	}
	want := []cluster.Group{
		{
			Name: "gpu", Count: 2, CPUs: 4, Memory: "8Gi", Disk: "40Gi", Arch: "arm64", Zone: "b", Labels: map[string]string{"accelerator": "gpu", "trusted": "true", "generation": "3"},
			Taints: []string{"accelerator=gpu:NoSchedule"}, Kubelet: map[string]any{"maxPods": 50.0},
		},
		{Name: "db", Count: 1},
		{Name: "worker", Memory: "3Gi"},
	}
	if !reflect.DeepEqual(spec.Nodes, want) {
		t.Errorf("groups %+v, want %+v", spec.Nodes, want)
	}
	if spec, err := Resolve(flagSet(t), File{}, base); err != nil || len(spec.Nodes) != 1 {
		t.Errorf("without the key: %+v, %v", spec.Nodes, err)
	}
}

func TestNumbersOfNodesMayBeRanges(t *testing.T) {
	for content, want := range map[string]string{
		"workers: 3":                "3 0..0, 1 0..0",
		"workers: {min: 1, max: 5}": "1 1..5, 1 0..0",
		"workers: 2..4":             "2 2..4, 1 0..0",
		"nodes: [{name: gpu, count: {min: 0, max: 2}}]": "3 3..9, 0 0..2",
		`nodes: [{name: gpu, count: "1..2"}]`:           "3 3..9, 1 1..2",
		"nodes: [{name: gpu, count: 4}]":                "3 3..9, 4 0..0",
	} {
		file, err := Parse("skiff.yaml", []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		base := cluster.Default()
		base.Workers, base.WorkersSpan, base.Nodes = 3, cluster.Span{Min: 3, Max: 9}, []cluster.Group{{Name: "gpu", Count: 1}}
		spec, err := Resolve(flagSet(t), file, base)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%d %s, %d %s", spec.Workers, spec.WorkersSpan, spec.Nodes[0].Count, spec.Nodes[0].Span)
		if got != want {
			t.Errorf("%s: %s, want %s", content, got, want)
		}
	}
}

func TestAFaultInAGroupNamesTheLineAndTheKey(t *testing.T) {
	for content, want := range map[string]string{
		"nodes: gpu":                            "skiff.yaml:1: nodes: it must be a list, such as [{name: gpu, count: 2}]",
		"nodes: [gpu]":                          "skiff.yaml:1: nodes: entry 1: it must be a mapping",
		"nodes: [{name: a}, {nam: gpu}]":        `skiff.yaml:1: nodes: entry 2: unknown key "nam": did you mean "name"?`,
		"nodes: [{name: gpu, color: red}]":      `skiff.yaml:1: nodes: entry 1: unknown key "color": valid keys are name, count, cpus, memory, disk, arch, zone, labels, taints, kubelet`,
		"nodes: [{name: [a]}]":                  "skiff.yaml:1: nodes: entry 1: name: it must be a single value",
		"nodes: [{name: gpu, count: two}]":      "skiff.yaml:1: nodes: entry 1: count: \"two\" is not a whole number or a range such as 1..5",
		"nodes: [{name: gpu, cpus: 1.5}]":       "skiff.yaml:1: nodes: entry 1: cpus: 1.5 is not a whole number",
		"nodes: [{name: gpu, memory: {a: 1}}]":  "skiff.yaml:1: nodes: entry 1: memory: it must be a single value",
		"nodes: [{name: gpu, labels: [a]}]":     "skiff.yaml:1: nodes: entry 1: labels: it must be a mapping",
		"nodes: [{name: gpu, labels: {a: []}}]": "skiff.yaml:1: nodes: entry 1: labels: a must be a single value",
		"nodes: [{name: gpu, taints: a}]":       "skiff.yaml:1: nodes: entry 1: taints: it must be a list",
		"nodes: [{name: gpu, taints: [{}]}]":    "skiff.yaml:1: nodes: entry 1: taints: its items must be single values",
		"nodes: [{name: gpu, kubelet: 1}]":      "skiff.yaml:1: nodes: entry 1: kubelet: it must be a mapping",
	} {
		file, err := Parse("skiff.yaml", []byte(content))
		if err == nil {
			_, err = Resolve(flagSet(t), file, cluster.Default())
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n%v, want\n%s", content, err, want)
		}
	}
}
