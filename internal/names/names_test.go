package names

import "testing"

func TestNodeOfReversesOfNode(t *testing.T) {
	for user, want := range map[string]string{
		OfNode(GroupDNS, "worker-1"): "worker-1",
		GroupDNS:                     "", GroupDNS + ":": "", OfNode(GroupVolumes, "worker-1"): "", "jane": "",
	} {
		if got, ok := NodeOf(GroupDNS, user); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v", user, got, ok)
		}
	}
}

func TestReserved(t *testing.T) {
	for name, want := range map[string]bool{
		"system:masters": true, GroupClusterAdmins: true, "skiff:anything": true, UserAdmin: true, "jane": false, "skiffer": false, "": false,
	} {
		if got := Reserved(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}
