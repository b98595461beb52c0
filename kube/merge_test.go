package kube

import (
	"errors"
	"strings"
	"testing"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, resourceVersion: "1"}
spec:
  replicas: 2
  template:
    spec:
      containers:
      - {name: shop, image: "shop:1"}
      - {name: proxy, image: "proxy:1"}
status: {readyReplicas: 2}
`

func TestMergeKeepsTheChangesOfOthers(t *testing.T) {
	mine := strings.Replace(deployment, "shop:1", "shop:2", 1)
	now := strings.NewReplacer(`resourceVersion: "1"`, `resourceVersion: "7"`, "replicas: 2", "replicas: 5", "proxy:1", "proxy:9", "readyReplicas: 2", "readyReplicas: 5").Replace(deployment)
	merged, err := Merge(deployment, mine, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"shop:2", "proxy:9", "replicas: 5", `resourceVersion: "7"`, "readyReplicas: 5"} {
		if !strings.Contains(merged.Manifest, want) {
			t.Errorf("%q is missing in\n%s", want, merged.Manifest)
		}
	}
	for _, want := range []string{"-  replicas: 2", "+  replicas: 5", "+      - image: proxy:9"} {
		if !strings.Contains(merged.Diff, want) {
			t.Errorf("%q is missing in\n%s", want, merged.Diff)
		}
	}
	if strings.Contains(merged.Diff, "readyReplicas") || strings.Contains(merged.Diff, "shop:2") {
		t.Errorf("not changes of others: %s", merged.Diff)
	}
}

func TestMergeLetsTheEditedManifestWin(t *testing.T) {
	mine := strings.Replace(deployment, "replicas: 2", "replicas: 3", 1)
	now := strings.Replace(deployment, "replicas: 2", "replicas: 5", 1)
	if merged, err := Merge(deployment, mine, now); err != nil || !strings.Contains(merged.Manifest, "replicas: 3") {
		t.Errorf("%s, %v", merged.Manifest, err)
	}
}

func TestMergeShowsNoDifferenceInTheStatus(t *testing.T) {
	now := strings.NewReplacer(`resourceVersion: "1"`, `resourceVersion: "7"`, "readyReplicas: 2", "readyReplicas: 1").Replace(deployment)
	if merged, err := Merge(deployment, deployment, now); err != nil || merged.Diff != "" {
		t.Errorf("%s, %v", merged.Diff, err)
	}
}

func TestMergeKeepsTheChangesOfOthersInCustomResources(t *testing.T) {
	boat := "apiVersion: example.com/v1\nkind: Boat\nmetadata: {name: b}\nspec: {sails: 1, crew: [ann]}\n"
	merged, err := Merge(boat, strings.Replace(boat, "sails: 1", "sails: 2", 1), strings.Replace(boat, "ann", "bob", 1))
	if err != nil || !strings.Contains(merged.Manifest, "sails: 2") || !strings.Contains(merged.Manifest, "- bob") {
		t.Errorf("%s, %v", merged.Manifest, err)
	}
}

func TestMergeRefusesOtherObjectsAndInvalidManifests(t *testing.T) {
	for name, mine := range map[string]string{
		"a list": "[]", "nothing": "", "no YAML": "a: b: c", "another name": strings.Replace(deployment, "name: web", "name: other", 1),
		"another kind": strings.Replace(deployment, "kind: Deployment", "kind: StatefulSet", 1),
	} {
		if _, err := Merge(deployment, mine, deployment); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOverwriteDiscardsTheChangesOfOthersButKeepsTheFieldsOfTheServer(t *testing.T) {
	mine := strings.Replace(deployment, "replicas: 2", "replicas: 3", 1)
	now := strings.NewReplacer(`resourceVersion: "1"`, `resourceVersion: "7"`, "proxy:1", "proxy:9", "readyReplicas: 2", "readyReplicas: 1").Replace(deployment)
	text, err := Overwrite(mine, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"replicas: 3", "proxy:1", `resourceVersion: "7"`, "readyReplicas: 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// FuzzMerge looks for manifests that make merging panic.
func FuzzMerge(f *testing.F) {
	f.Add(deployment, strings.Replace(deployment, "shop:1", "shop:2", 1), strings.Replace(deployment, "proxy:1", "proxy:9", 1))
	f.Add("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [1]}", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: []", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: {}}")
	f.Add("apiVersion: x/v1\nkind: B\nmetadata: {name: a}", "apiVersion: x/v1\nkind: B\nmetadata: {name: a, labels: {$patch: delete}}", "apiVersion: x/v1\nkind: B\nmetadata: {name: a, labels: 1}")
	f.Fuzz(func(t *testing.T, original, edited, current string) {
		if merged, err := Merge(original, edited, current); err == nil && merged.Manifest == "" {
			t.Error("an empty manifest")
		}
		_, _ = Overwrite(edited, current)
	})
}
