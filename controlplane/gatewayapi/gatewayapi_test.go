package gatewayapi

import (
	"reflect"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/util/json"

	"github.com/skiff-dev/skiff/controlplane/gatewayapi/module"
)

func TestTheArchiveHasTheDefinitionsOfTheModule(t *testing.T) {
	release, definitions, err := module.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	names, err := Names()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != len(definitions) || !slices.Contains(names, "httproutes.gateway.networking.k8s.io") {
		t.Fatalf("the archive has %v; run go generate ./controlplane/gatewayapi", names)
	}
	for name, content := range definitions {
		var want map[string]any
		if err := json.Unmarshal(content, &want); err != nil {
			t.Fatal(err)
		}
		got, err := Definition(name)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s differs, %v; run go generate ./controlplane/gatewayapi", name, err)
		}
	}
	again, err := Pack(release, definitions)
	if err != nil || !slices.Equal(again, embedded) {
		t.Errorf("packing again makes another archive: %v", err)
	}
}

func TestOnlyEarlierReleasesOfTheStandardChannelPrecede(t *testing.T) {
	of := func(version, channel string) map[string]string {
		return map[string]string{annotationVersion: version, annotationChannel: channel}
	}
	for _, tt := range []struct {
		existing map[string]string
		want     bool
	}{
		{of("v1.5.1", "standard"), true},
		{of("v1.6.0-rc.1", "standard"), true},
		{of("v99.0.0", "standard"), false},
		{of("v1.5.1", "experimental"), false},
		{nil, false},
		{of("main", "standard"), false},
	} {
		if got, err := Precedes(tt.existing); got != tt.want || err != nil {
			t.Errorf("%v: %v, %v", tt.existing, got, err)
		}
	}
}
