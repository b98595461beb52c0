package kubenames

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func names() Names {
	text := Field{Type: String}
	return Names{
		Gates: map[string]Gate{"NodeSwap": {Default: true, Locked: true}, "AllAlpha": {}},
		APIs:  []string{"apps/v1", "v1", "resource.k8s.io/v1beta1"},
		Documents: map[string]Document{"Shape": {APIVersion: "shapes/v1", Field: Field{Type: Object, Fields: map[string]Field{
			"sides":  {Type: Integer},
			"scale":  {Type: Number},
			"filled": {Type: Boolean},
			"labels": {Type: Map, Items: &text},
			"points": {Type: List, Items: &Field{Type: Object, Fields: map[string]Field{"name": text}}},
			"raw":    {Type: Any},
		}}}},
	}
}

func TestDocumentsAreChecked(t *testing.T) {
	for content, want := range map[string]string{
		`{"apiVersion": "shapes/v1", "kind": "Shape", "sides": 3, "scale": 1.5, "filled": true, "labels": {"any name": "x"}, "points": [{"name": "a"}, null], "raw": {"a": [1]}}`: "",
		`{"kind": "Shape"}`:                                                          "apiVersion is missing: use shapes/v1",
		`{"apiVersion": "shapes/v1", "kind": "Circle"}`:                              `kind is "Circle": use Shape`,
		`{"apiVersion": "shapes/v1", "kind": "Shape", "side": 3}`:                    `unknown field "side": did you mean "sides"?`,
		`{"apiVersion": "shapes/v1", "kind": "Shape", "sides": 2.5}`:                 "sides is 2.5: it must be an integer",
		`{"apiVersion": "shapes/v1", "kind": "Shape", "filled": "yes"}`:              `filled is "yes": it must be a boolean`,
		`{"apiVersion": "shapes/v1", "kind": "Shape", "labels": {"a": 1}}`:           "labels.a is 1: it must be a string",
		`{"apiVersion": "shapes/v1", "kind": "Shape", "points": [{"nam": "a"}]}`:     `unknown field "points[0].nam": did you mean "points[0].name"?`,
		`{"apiVersion": "shapes/v1", "kind": "Shape", "points": {}}`:                 "points is {}: it must be a list",
		`{"apiVersion": "shapes/v1", "kind": "Shape", "zzzzzzzz": 1, "filled": "1"}`: `filled is "1": it must be a boolean; unknown field "zzzzzzzz"`,
	} {
		var document map[string]any
		if err := json.Unmarshal([]byte(content), &document); err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(message(errors.Join(names().CheckDocument("Shape", document)...)), "\n", "; ")
		if got != want {
			t.Errorf("%s: %q, want %q", content, got, want)
		}
	}
}

func TestGatesAndAPIsAreChecked(t *testing.T) {
	n := names()
	for want, err := range map[string]error{
		"": errors.Join(n.CheckGate("AllAlpha", true), n.CheckGate("NodeSwap", true), n.CheckAPI("api/all"), n.CheckAPI("v1"), n.CheckAPI("apps/v1/deployments")),
		"feature gate NodeSwap is locked to true":                   n.CheckGate("NodeSwap", false),
		`unknown feature gate "NodeSwop": did you mean "NodeSwap"?`: n.CheckGate("NodeSwop", true),
		`unknown API "apps/v2": did you mean "apps/v1"?`:            n.CheckAPI("apps/v2/deployments"),
		`unknown API "nothing like it"`:                             n.CheckAPI("nothing like it"),
	} {
		if got := message(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestEachSupportedVersionHasNames(t *testing.T) {
	versions := Versions()
	if !slices.Contains(versions, Default) || !slices.IsSortedFunc(versions, func(a, b string) int { return minor(a) - minor(b) }) {
		t.Errorf("versions %q", versions)
	}
	for _, version := range append(versions, "") {
		names, err := Read(version)
		if err != nil || len(names.Gates) < 50 || len(names.APIServer) < 50 || !slices.Contains(names.APIs, "apps/v1") {
			t.Errorf("%q: %v", version, err)
		}
	}
	for _, version := range []string{"1.12", "1.36.3", "v1.36", "../1.36", "1"} {
		if _, err := Read(version); err == nil || !strings.Contains(err.Error(), "choose one of "+strings.Join(versions, ", ")) {
			t.Errorf("%q: %v", version, err)
		}
	}
}

// FuzzDocuments checks that no document makes the check panic.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "None", "resources": [{"group": ""}]}]}`))
	f.Add([]byte(`{"profiles": [null, {"plugins": {"score": {"enabled": [{"name": 1}]}}}]}`))
	known, err := Read("")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, content []byte) {
		var document map[string]any
		if json.Unmarshal(content, &document) != nil {
			return
		}
		for kind := range known.Documents {
			known.CheckDocument(kind, document)
			known.CheckFields(kind, document)
		}
	})
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
