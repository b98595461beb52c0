package client

import (
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestServerIsTheNodesLoadBalancer(t *testing.T) {
	server, err := url.Parse(Server)
	if err != nil {
		t.Fatal(err)
	}
	if server.Port() != strconv.Itoa(nodeconfig.PortAPILoadBalancer) {
		t.Errorf("port %s, want %d", server.Port(), nodeconfig.PortAPILoadBalancer)
	}
}

func TestKubeconfigContainsTheIdentity(t *testing.T) {
	identity := Identity{CA: "/pki/ca.crt", Certificate: "/pki/proxy.crt", Key: "/pki/proxy.key"}
	content, err := identity.Kubeconfig()
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(content)
	if err != nil {
		t.Fatal(err)
	}
	context := config.Contexts[config.CurrentContext]
	cluster, user := config.Clusters[context.Cluster], config.AuthInfos[context.AuthInfo]
	got := Identity{cluster.CertificateAuthority, user.ClientCertificate, user.ClientKey}
	if got != identity || cluster.Server != Server {
		t.Errorf("got %+v at %s, want %+v at %s", got, cluster.Server, identity, Server)
	}
}

func TestWriteFileReplacesTheFileAndLeavesNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "file")
	for _, content := range []string{"a long first content", "second"} {
		if err := WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("folder holds %v, %v", entries, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
