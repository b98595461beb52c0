package daemon

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
)

func TestTheHostSleptIfItsClocksDisagree(t *testing.T) {
	for _, test := range []struct {
		wall, monotonic time.Duration
		want            bool
	}{
		{5 * time.Second, 5 * time.Second, false},
		{6 * time.Second, 5 * time.Second, false},
		{time.Hour, 5 * time.Second, true},
		{-time.Hour, 5 * time.Second, true},
	} {
		if got := slept(test.wall, test.monotonic); got != test.want {
			t.Errorf("slept(%s, %s) = %t", test.wall, test.monotonic, got)
		}
	}
}

func TestTheKeychainIsMadeOnceAndRenewedInTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	now := time.Now()
	first, err := openKeychain(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openKeychain(dir, now.Add(time.Hour))
	if err != nil || string(again.files["ca.key"]) != string(first.files["ca.key"]) || string(again.files["admin.crt"]) != string(first.files["admin.crt"]) {
		t.Errorf("opened again: other certificates, %v", err)
	}
	later, err := openKeychain(dir, now.Add(pki.LeafLifetime*3/4))
	if err != nil || string(later.files["ca.key"]) != string(first.files["ca.key"]) || string(later.files["admin.crt"]) == string(first.files["admin.crt"]) {
		t.Errorf("opened late: not renewed, %v", err)
	}
	for _, name := range []string{"ca.key", "admin.key", "etcd/ca.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	// Two processes renewed it at once.
	if err := os.WriteFile(filepath.Join(dir, "host.crt"), first.files["host.crt"], 0o600); err != nil {
		t.Fatal(err)
	}
	mended, err := openKeychain(dir, now)
	if err != nil || string(mended.files["host.crt"]) == string(first.files["host.crt"]) {
		t.Errorf("a certificate without its key stays: %v", err)
	}
}

func TestReadingAStaleKeychainWritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	now := time.Now()
	first, err := openKeychain(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	late := now.Add(pki.LeafLifetime * 3 / 4)
	read, renewed, err := loadKeychain(dir, late)
	if err != nil || len(renewed) == 0 || read.stale(late) {
		t.Errorf("%d certificates renewed, %v", len(renewed), err)
	}
	after, err := pki.ReadFiles(dir)
	if err != nil || !reflect.DeepEqual(after, first.files) {
		t.Errorf("reading changed the files: %v", err)
	}
}

func TestTheLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.log")
	out := &boundedFile{path: path}
	if err := out.open(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	line := []byte(strings.Repeat("x", maxLog/8) + "\n")
	for range 40 {
		if _, err := out.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{path, path + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() > maxLog {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
