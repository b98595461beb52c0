package fleet

import (
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/vm/cluster"
)

func TestTheFirstNodeOfAGroupHasItsOwnArchitecture(t *testing.T) {
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	spec := cluster.Default()
	spec.Nodes = []cluster.Group{{Name: "far", Arch: other}}
	state := cluster.State{Spec: spec}
	for _, test := range []struct{ group, model, want string }{
		{"far", "", other}, {"far", other, ""}, {"worker", "", ""}, {"worker", other, runtime.GOARCH},
	} {
		group := cluster.GroupOf(spec, test.group+"-1")
		got := roomGroup(state, group, cluster.Node{Name: "model-1", Group: "model", Arch: test.model})
		if label := got.Labels[corev1.LabelArchStable]; label != test.want {
			t.Errorf("%+v: %q", test, label)
		}
	}
}
