package kubelet

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCertificatesOfAnEarlierReleaseAreRemoved(t *testing.T) {
	k := Kubelet{Paths: Paths{Root: t.TempDir()}}
	if err := k.removeOldCertificates(); err != nil {
		t.Fatalf("without any: %v", err)
	}
	dir := k.Paths.certificates()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubelet-client-current.pem", "kubelet-server-2026-01-01-00-00-00.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("gone", filepath.Join(dir, "kubelet-server-current.pem")); err != nil {
		t.Fatal(err)
	}
	if err := k.removeOldCertificates(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
