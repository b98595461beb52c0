package labeller_test

import (
	"maps"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/labeller"
)

func TestChanges(t *testing.T) {
	const controlPlane, worker, own = "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/worker", "skiff.dev/role"
	type m = map[string]string
	type changes = map[string]any
	for _, tt := range []struct {
		name, node string
		labels     m
		want       changes
	}{
		{"control plane", "control-plane-1", m{own: "control-plane"}, changes{controlPlane: ""}},
		{"worker", "worker-1", m{own: "worker"}, changes{worker: ""}},
		{"labelled already", "worker-1", m{own: "worker", worker: ""}, nil},
		{"labelled with a value", "worker-1", m{own: "worker", worker: "true"}, nil},
		{"no labels", "worker-1", nil, changes{own: "worker", worker: ""}},
		{"a worker that claims to be a control plane", "worker-1", m{own: "control-plane", worker: ""}, changes{own: "worker"}},
		{"a worker that became one", "worker-1", m{own: "worker", worker: "", controlPlane: ""}, changes{controlPlane: nil}},
		{"a user's role", "worker-1", m{own: "worker", worker: "", "node-role.kubernetes.io/storage": ""}, nil},
		{"a node of another group", "gpu-1", m{own: "worker"}, changes{worker: ""}},
		{"a simulated node", "kwok-1", nil, nil},
		{"a node that the host did not make", "kwok-1", m{own: "control-plane"}, nil},
	} {
		if got := labeller.Changes(tt.node, tt.labels); !maps.Equal(got, tt.want) {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}
