package credentials

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
)

func TestCredentialsAreCreatedOnceAndRenewedInTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	now := time.Now()
	if _, err := Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read without credentials: %v", err)
	}
	first, err := Open(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(s Set, name string) bool { return !bytes.Equal(s.files[name], first.files[name]) }
	again, err := Open(dir, now.Add(time.Hour))
	if err != nil || changed(again, "ca.key") || changed(again, "admin.crt") {
		t.Errorf("opened again: other certificates, %v", err)
	}
	late := now.Add(pki.LeafLifetime * 3 / 4)
	read, err := Read(dir)
	if err != nil || changed(read, "admin.crt") || !read.Stale(late) {
		t.Errorf("read late: renewed, or not stale, %v", err)
	}
	later, err := Open(dir, late)
	if err != nil || changed(later, "ca.key") || !changed(later, "admin.crt") {
		t.Errorf("opened late: not renewed, %v", err)
	}
	for _, name := range []string{"ca.key", "admin.key", "etcd/ca.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestACertificateWithTheKeyOfAnotherIsRenewed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	now := time.Now()
	first, err := Open(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, now.Add(pki.LeafLifetime*3/4)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "host.crt"), first.files["host.crt"], 0o600); err != nil {
		t.Fatal(err)
	}
	repaired, err := Open(dir, now)
	if err != nil || bytes.Equal(repaired.files["host.crt"], first.files["host.crt"]) {
		t.Errorf("a certificate without its key stays: %v", err)
	}
}

func TestTheStoreWritesKeysBeforeAnyoneReceivesThem(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	store, err := OpenStore(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ring, err := store.Current().Keyring()
	if err != nil {
		t.Fatal(err)
	}
	if ring, err = ring.Add(); err != nil {
		t.Fatal(err)
	}
	if err := store.SetKeyring(ring); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() (Set, error){
		"in memory": func() (Set, error) { return store.Current(), nil },
		"on disk":   func() (Set, error) { return Read(dir) },
	} {
		set, err := read()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := set.Keyring(); err != nil || len(got.Keys) != 2 {
			t.Errorf("%s: %d keys, %v", name, len(got.Keys), err)
		}
	}
}

func TestClustersOfEarlierReleasesGetTheAuthorityOfTheCloud(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	now := time.Now()
	first, err := Open(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, lost := range [][]string{{"cloud-ca.crt", "cloud-ca.key", "cloud-server.crt", "cloud-server.key"}, {"cloud-ca.key"}} {
		for _, name := range lost {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		read, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := read.Renewed(now); err != nil {
			t.Errorf("without %v: %v", lost, err)
		}
		store, err := OpenStore(dir, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.ServerConfig(CloudCA, Cloud).GetConfigForClient(nil); err != nil {
			t.Errorf("without %v: %v", lost, err)
		}
		if !bytes.Equal(store.Current().files["ca.key"], first.files["ca.key"]) {
			t.Error("another authority was replaced")
		}
		again, err := Open(dir, now)
		if err != nil || !bytes.Equal(again.files["cloud-ca.key"], store.Current().files["cloud-ca.key"]) {
			t.Errorf("opened again: another authority, %v", err)
		}
	}
}

func TestEveryControlPlanesCertificateHasTheNamesOfTheAPI(t *testing.T) {
	now := time.Now()
	set, err := Open(filepath.Join(t.TempDir(), "pki"), now)
	if err != nil {
		t.Fatal(err)
	}
	spec := cluster.Default()
	spec.Name, spec.APIAddress, spec.APIServerSANs = "dev", "192.0.2.2", []string{"api.example.com", "2001:db8::1"}
	for _, planes := range []int{1, 3} { // two of the three join later
		spec.ControlPlanes, spec.Workers = planes, 1
		for _, n := range cluster.Nodes(spec, nil) {
			files, err := set.Node(spec, n, now)
			if err != nil {
				t.Fatal(err)
			}
			content, exists := files["apiserver.crt"]
			if !exists && n.Role == nodeconfig.RoleWorker {
				continue
			}
			block, _ := pem.Decode(content)
			if block == nil {
				t.Fatalf("%s of %d: no certificate", n.Name, planes)
			}
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"api.dev.skiff.internal", "api.example.com", "192.0.2.2", "2001:db8::1", n.Address.Addr().String()} {
				if err := certificate.VerifyHostname(name); err != nil {
					t.Errorf("%s of %d: %v", n.Name, planes, err)
				}
			}
		}
	}
}
