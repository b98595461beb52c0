package home_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/vm/home"
)

func TestALockIsHeldByOneAndAskingMakesNothing(t *testing.T) {
	c := home.Home(t.TempDir()).Cluster("demo")
	if c.Held() {
		t.Error("the lock of nothing is held")
	}
	if _, err := os.Stat(filepath.Clean(string(c))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("asking made the cluster's directory: %v", err)
	}
	lock, err := c.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Acquire(); !errors.Is(err, home.ErrLocked) {
		t.Errorf("second Acquire: %v", err)
	}
	if !c.Held() {
		t.Error("a lock that is taken is not held")
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if c.Held() {
		t.Error("a lock that was given back is held")
	}
}
