package kubelet

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestUsersFieldsAreMergedIntoTheKubeletsConfiguration(t *testing.T) {
	k := Kubelet{Node: document(nodeconfig.RoleWorker), Machine: Machine{MemoryBytes: 2 << 30, CgroupV2: true}, Paths: paths()}
	plain, err := k.server()
	if err != nil {
		t.Fatal(err)
	}
	k.Fields = map[string]any{
		"maxPods": 42.0, "evictionHard": map[string]any{"memory.available": "300Mi"}, "memorySwap": map[string]any{"swapBehavior": "LimitedSwap"},
		"imageMaximumGCAge": "24h",
	}
	server, err := k.server()
	if err != nil {
		t.Fatal(err)
	}
	got := server.KubeletConfiguration
	if got.MaxPods != 42 || got.MemorySwap.SwapBehavior != "LimitedSwap" || got.ImageMaximumGCAge.Hours() != 24 {
		t.Errorf("maxPods %d, swap %q, age %s", got.MaxPods, got.MemorySwap.SwapBehavior, got.ImageMaximumGCAge.Duration)
	}
	eviction := maps.Clone(plain.EvictionHard)
	eviction["memory.available"] = "300Mi"
	if !maps.Equal(got.EvictionHard, eviction) {
		t.Errorf("eviction %v, want %v", got.EvictionHard, eviction)
	}
	// Nothing else changes.
	got.MaxPods, got.MemorySwap, got.ImageMaximumGCAge, got.EvictionHard = plain.MaxPods, plain.MemorySwap, plain.ImageMaximumGCAge, plain.EvictionHard
	before, after := reflect.ValueOf(plain.KubeletConfiguration), reflect.ValueOf(got)
	for i := range before.NumField() {
		was, is := before.Field(i), after.Field(i)
		empty := was.Kind() == reflect.Map || was.Kind() == reflect.Slice
		if !reflect.DeepEqual(was.Interface(), is.Interface()) && !(empty && was.Len() == 0 && is.Len() == 0) {
			t.Errorf("%s was %v and is %v", before.Type().Field(i).Name, was, is)
		}
	}
}

func TestAKubeletThatWouldNotStartIsFound(t *testing.T) {
	for want, fields := range map[string]map[string]any{
		"unknown field":              {"maxPod": 42.0},
		"imageGCLowThresholdPercent": {"imageGCHighThresholdPercent": 10.0, "imageGCLowThresholdPercent": 20.0},
		"topologyManagerPolicy":      {"topologyManagerPolicy": "perhaps"},
	} {
		k := Kubelet{Node: document(nodeconfig.RoleWorker), Machine: Machine{MemoryBytes: 2 << 30}, Paths: paths(), Fields: fields}
		if err := k.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", fields, err, want)
		}
	}
}
