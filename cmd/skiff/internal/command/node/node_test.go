package node

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/cluster"
)

func TestLabelsAreParsedOrRefused(t *testing.T) {
	marks, err := parseLabels([]string{"disk=ssd", "empty=", "old-"})
	if err != nil || !maps.Equal(marks.Labels, map[string]string{"disk": "ssd", "empty": ""}) || !slices.Equal(marks.RemoveLabels, []string{"old"}) {
		t.Errorf("%+v, %v", marks, err)
	}
	for text, want := range map[string]string{
		"disk": "use KEY=VALUE", "a b=c": "invalid label", "a=b c": "invalid value", "kubernetes.io/hostname=x": "sets it itself", "=x": "invalid label",
	} {
		if _, err := parseLabels([]string{text}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := parseLabels([]string{"a=1", "a=2"}); err == nil {
		t.Error("the same label twice")
	}
}

func TestTheNoteNamesTheFileAndTheCount(t *testing.T) {
	spec := cluster.Default()
	spec.Nodes = []cluster.Group{{Name: "gpu", Count: 3}}
	if note := fileNote(spec, "gpu"); note != "" {
		t.Errorf("without a file: %q", note)
	}
	spec.Environment.File = "/src/skiff.yaml"
	if note, want := fileNote(spec, "worker", "gpu"), `note: the next "skiff up -f /src/skiff.yaml" undoes this unless the file has count of the group gpu: 3 and workers: 2`; note != want {
		t.Errorf("%q, want %q", note, want)
	}
}
