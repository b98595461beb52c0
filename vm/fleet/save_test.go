package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestSavedMemoryLeavesRoomOnTheDisk(t *testing.T) {
	if err := enoughRoom(2000, 2000+lowRoomMiB, "/h"); err != nil {
		t.Error(err)
	}
	if err := enoughRoom(2000, 1999+lowRoomMiB, "/h"); err == nil || !strings.Contains(err.Error(), "it takes up to 2000 MiB, and of the 3023 MiB that are free where /h is, 1024 MiB must stay free") {
		t.Error(err)
	}
}

func TestBootSettingsAreWhatANodeReadsOnlyWhenItBoots(t *testing.T) {
	document := func(change func(*nodeconfig.Node)) nodeconfig.Node {
		d := nodeconfig.Node{
			Name: "worker-1", Written: time.Unix(1, 0),
			Files: map[string][]byte{"ca.crt": []byte("a"), "etcd/ca.crt": []byte("b"), "kubelet.crt": []byte("c")},
		}
		if change != nil {
			change(&d)
		}
		return d
	}
	digest := func(d nodeconfig.Node) string {
		t.Helper()
		sum, err := bootSettings(d)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	want := digest(document(nil))
	for name, change := range map[string]func(*nodeconfig.Node){
		"time":         func(d *nodeconfig.Node) { d.Written = time.Unix(2, 0) },
		"certificate":  func(d *nodeconfig.Node) { d.Files["kubelet.crt"] = nil },
		"host":         func(d *nodeconfig.Node) { d.Host.Search = []string{"example"} },
		"label":        func(d *nodeconfig.Node) { d.Kubernetes.Labels = map[string]string{"a": "b"} },
		"other nodes":  func(d *nodeconfig.Node) { d.ControlPlanes = []nodeconfig.Peer{{Name: "control-plane-1"}} },
		"etcd members": func(d *nodeconfig.Node) { d.Etcd = &nodeconfig.Etcd{Join: true} },
	} {
		if got := digest(document(change)); got != want {
			t.Errorf("%s: a node that runs can follow it, but its memory is not used", name)
		}
	}
	for name, change := range map[string]func(*nodeconfig.Node){
		"folder":      func(d *nodeconfig.Node) { d.Folders = []nodeconfig.Folder{{Path: "/src"}} },
		"runtimes":    func(d *nodeconfig.Node) { d.Kubernetes.Runtimes = []string{"crun"} },
		"gateway API": func(d *nodeconfig.Node) { d.Kubernetes.GatewayAPI = true },
		"authority":   func(d *nodeconfig.Node) { d.Files["etcd/ca.crt"] = nil },
		"domain":      func(d *nodeconfig.Node) { d.Kubernetes.DNSDomain = "other" },
	} {
		if digest(document(change)) == want {
			t.Errorf("%s: memory is used although the node would have to boot", name)
		}
	}
	d := document(nil)
	if digest(d); len(d.Files) != 3 {
		t.Errorf("the document was changed: %v", d.Files)
	}
}
