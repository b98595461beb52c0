package rootca

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// member starts etcd and returns its client.
func member(t *testing.T) *clientv3.Client {
	t.Helper()
	dir, address, now := t.TempDir(), netip.MustParseAddr("127.0.0.1"), time.Now()
	files := authorities(t)
	files, err := pki.ControlPlane(files, pki.Node{Cluster: "demo", Name: "control-plane-1", Address: address, ServiceAddress: address, Domain: "cluster.local"}, now)
	if err != nil {
		t.Fatal(err)
	}
	s := etcd.Settings{
		Cluster: "demo", Name: "control-plane-1", Address: address, Members: []nodeconfig.Peer{{Name: "control-plane-1", Address: address}},
		Dir: filepath.Join(dir, "etcd"), PKIDir: filepath.Join(dir, "pki"), ClientPort: 32479, PeerPort: 32480,
	}
	for name, content := range files {
		path := filepath.Join(s.PKIDir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := etcd.Start(t.Context(), s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	if err := m.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m.NewClient()
}

func authorities(t *testing.T) pki.Files {
	t.Helper()
	files, err := pki.Authorities(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTheAuthorityOfAnotherClusterIsReplacedInAllNamespaces(t *testing.T) {
	client := member(t)
	old, own := authorities(t)["ca.crt"], authorities(t)["ca.crt"]
	put := func(namespace, name, content string) {
		t.Helper()
		stored, err := encode(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "a", Annotations: map[string]string{"a": "b"}}, Data: map[string]string{key: content}})
		if err == nil {
			_, err = client.Put(t.Context(), prefix+namespace+"/"+name, string(stored))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(namespace, name, content string) {
		t.Helper()
		got, err := client.Get(t.Context(), prefix+namespace+"/"+name)
		if err != nil || len(got.Kvs) != 1 || !strings.HasPrefix(string(got.Kvs[0].Value), "k8s\x00") {
			t.Fatalf("%+v, %v", got, err)
		}
		object, err := decode(got.Kvs[0].Value)
		if err != nil || object.Data[key] != content || object.UID != "a" || object.Annotations["a"] != "b" || object.Namespace != namespace {
			t.Errorf("%s in %s: %+v, %v", name, namespace, object, err)
		}
	}
	run := func(replaced int, authority []byte) {
		t.Helper()
		if got, err := Replace(t.Context(), client, authority); err != nil || got != replaced {
			t.Errorf("replaced %d, want %d, %v", got, replaced, err)
		}
	}
	run(0, own) // a new cluster
	for _, namespace := range []string{"default", "kube-system", "team"} {
		put(namespace, name, string(old))
	}
	put("default", "other", string(old))
	put("default", "my-"+name, string(old))

	run(0, old)
	run(0, append(append([]byte{}, own...), old...)) // while it is replaced in a running cluster
	want("team", name, string(old))
	run(3, own)
	for _, namespace := range []string{"default", "kube-system", "team"} {
		want(namespace, name, string(own))
	}
	want("default", "other", string(old))
	want("default", "my-"+name, string(old))
	run(0, own)

	// It was interrupted before the last one.
	put("team", name, string(old))
	put("kube-system", name, string(old))
	run(3, own)
	want("team", name, string(own))

	if _, err := client.Put(t.Context(), prefix+"kube-system/"+name, "damaged"); err != nil {
		t.Fatal(err)
	}
	if _, err := Replace(t.Context(), client, own); err == nil {
		t.Error("no error")
	}
}
