package home_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/vm/home"
)

func TestOneProcessHoldsALockAndAskingCreatesNothing(t *testing.T) {
	c := home.Home(t.TempDir()).Cluster("demo")
	if c.Held() {
		t.Error("the lock of an absent cluster is held")
	}
	if _, err := os.Stat(filepath.Clean(string(c))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("asking created the cluster's directory: %v", err)
	}
	lock, err := c.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Acquire(); !errors.Is(err, home.ErrLocked) {
		t.Errorf("second Acquire: %v", err)
	}
	if !c.Held() {
		t.Error("an acquired lock is not held")
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if c.Held() {
		t.Error("a released lock is held")
	}
}
