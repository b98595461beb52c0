package nodeconfig

import "testing"

func TestRoleOf(t *testing.T) {
	for name, want := range map[string]Role{
		"control-plane-1": RoleControlPlane, "worker-21": RoleWorker,
		"worker": "", "worker-": "", "worker-x": "", "worker--1": "", "admin-1": "", "my-worker-1": "", "": "",
	} {
		if got, ok := RoleOf(name); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v", name, got, ok)
		}
	}
}
