package nodeconfig

import (
	"testing"

	"github.com/skiff-dev/skiff/internal/names"
)

func TestRoleOf(t *testing.T) {
	for name, want := range map[string]Role{
		"control-plane-1": RoleControlPlane, "worker-21": RoleWorker, "gpu-1": RoleWorker, "my-worker-1": RoleWorker, "gpu-2-1": RoleWorker,
		"worker": "", "worker-": "", "worker-x": "", "worker--1": "", "worker-0": "", "worker-01": "", "-1": "", "1": "", "GPU-1": "", "gpu-99999": "", "": "",
	} {
		if got, ok := RoleOf(name); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v", name, got, ok)
		}
	}
}

func TestNodesOfOtherGroupsAreKnownByTheirLabel(t *testing.T) {
	worker := map[string]string{names.LabelRole: string(RoleWorker)}
	for _, test := range []struct {
		name   string
		labels map[string]string
		want   bool
	}{
		{"worker-1", nil, true},
		{"control-plane-1", worker, true},
		{"gpu-1", worker, true},
		{"gpu-1", nil, false},
		{"gpu-1", map[string]string{names.LabelRole: string(RoleControlPlane)}, false},
		{"kwok-node-0", worker, false},
	} {
		if got := MadeByHost(test.name, test.labels); got != test.want {
			t.Errorf("%s with %v: %v", test.name, test.labels, got)
		}
	}
}
