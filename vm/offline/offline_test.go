package offline

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/driver/saved"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
)

// stoppedCluster is a cluster of one control plane whose credentials were made at
// the given time.
func stoppedCluster(t *testing.T, made time.Time) home.Cluster {
	t.Helper()
	dir := home.Home(t.TempDir()).Cluster("demo")
	if err := os.MkdirAll(filepath.Join(dir.Machines(), "control-plane-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	spec := cluster.Default()
	spec.Name, spec.APIPort = "demo", 6443
	if err := cluster.WriteState(dir.State(), cluster.State{Spec: spec, Machines: cluster.Remember(nil, spec)}); err != nil {
		t.Fatal(err)
	}
	if _, err := credentials.Open(dir.PKI(), made); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAKubeconfigIsValidAndMakingItWritesNothing(t *testing.T) {
	for name, age := range map[string]time.Duration{"new": 0, "due for renewal": pki.LeafLifetime * 3 / 5, "expired": 2 * pki.LeafLifetime} {
		t.Run(name, func(t *testing.T) {
			dir := stoppedCluster(t, time.Now().Add(-age))
			before, err := pki.ReadFiles(dir.PKI())
			if err != nil {
				t.Fatal(err)
			}
			content, err := Kubeconfig(dir)
			if err != nil {
				t.Fatal(err)
			}
			config, err := clientcmd.RESTConfigFromKubeConfig(content)
			if err != nil {
				t.Fatal(err)
			}
			if pki.Stale(config.CertData, time.Now()) {
				t.Error("the certificate is stale")
			}
			if after, err := pki.ReadFiles(dir.PKI()); err != nil || !reflect.DeepEqual(after, before) {
				t.Errorf("files changed, %v", err)
			}
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(config.CAData) || !bytes.Equal(config.CAData, before["ca.crt"]) {
				t.Error("another authority")
			}
		})
	}
}

func TestAStoppedClusterIsObservedFromItsFiles(t *testing.T) {
	dir := stoppedCluster(t, time.Now())
	state, err := cluster.ReadState(dir.State())
	if err != nil {
		t.Fatal(err)
	}
	observed := Observe(dir, state)
	if !observed.Prepared || observed.Open || observed.Machines["control-plane-1"] != machine.StateStopped || observed.Machines["worker-1"] != machine.StateAbsent {
		t.Errorf("observed %+v", observed)
	}
	status, err := Status(dir)
	if err != nil || status.Phase != "stopped" || len(status.Nodes) != 3 || status.Nodes[0].Machine != "stopped" || status.Nodes[1].Machine != "absent" {
		t.Errorf("status %+v, %v", status, err)
	}
}

func TestKeptMemoryIsShown(t *testing.T) {
	dir := stoppedCluster(t, time.Now())
	state, err := cluster.ReadState(dir.State())
	if err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1_800_000_000, 0).UTC()
	if err := saved.Commit(filepath.Join(dir.Machines(), "control-plane-1"), saved.Manifest{
		Format: saved.Format, Time: when, Origin: saved.Origin{CPUs: 2, MemoryMiB: 1024}, Memory: saved.File{Bytes: 1}, Devices: saved.File{Bytes: 1},
	}); err != nil {
		t.Fatal(err)
	}
	observed := Observe(dir, state)
	if observed.Machines["control-plane-1"] != machine.StateSaved || observed.Sizes["control-plane-1"] != (cluster.Size{CPUs: 2, MemoryMiB: 1024}) {
		t.Errorf("observed %+v", observed)
	}
	status, err := Status(dir)
	if err != nil || status.Phase != "stopped" || status.Nodes[0].Machine != "saved" || status.Saved == nil || status.Saved.Machines != 1 || !status.Saved.Time.Equal(when) {
		t.Errorf("status %+v, %v", status, err)
	}
}
