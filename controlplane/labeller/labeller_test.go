package labeller_test

import (
	"testing"

	"github.com/skiff-dev/skiff/controlplane/labeller"
)

func TestMissing(t *testing.T) {
	type m = map[string]string
	for _, tt := range []struct {
		name   string
		labels m
		want   string
	}{
		{"control plane", m{"skiff.dev/role": "control-plane"}, "node-role.kubernetes.io/control-plane"},
		{"worker", m{"skiff.dev/role": "worker"}, "node-role.kubernetes.io/worker"},
		{"labelled already", m{"skiff.dev/role": "worker", "node-role.kubernetes.io/worker": ""}, ""},
		{"labelled with a value", m{"skiff.dev/role": "worker", "node-role.kubernetes.io/worker": "true"}, ""},
		{"unknown role", m{"skiff.dev/role": "admin"}, ""},
		{"no role", m{}, ""},
		{"no labels", nil, ""},
	} {
		if got := labeller.Missing(tt.labels); got != tt.want {
			t.Errorf("%s: got %q", tt.name, got)
		}
	}
}
