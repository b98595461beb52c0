package netns

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThreadsOfThisProgramAreInItsNamespace(t *testing.T) {
	if path, err := Nodes(os.Getpid()); err == nil {
		t.Errorf("%s is in another namespace", path)
	}
}

func TestAThreadInAnotherNamespaceIsFound(t *testing.T) {
	left, done := make(chan error), make(chan struct{})
	go func() {
		// Not unlocked: the runtime ends the thread with the goroutine.
		runtime.LockOSThread()
		left <- unix.Unshare(unix.CLONE_NEWNET)
		<-done
	}()
	err := <-left
	defer close(done)
	if err != nil {
		t.Skipf("cannot create a network namespace: %v", err)
	}
	path, err := Nodes(os.Getpid())
	if err != nil || !strings.HasSuffix(path, "/ns/net") {
		t.Errorf("path %q, %v", path, err)
	}
}
