package client_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// The socket of a process that is being killed accepts connections and answers none
// of them.
func TestApplyRetriesIfTheDaemonIsBeingKilled(t *testing.T) {
	h, images := shortHome(t), imageDir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(envDaemon, strings.Join([]string{string(h), "demo", images}, ":"))
	if err := os.MkdirAll(string(h.Cluster("demo")), 0o700); err != nil {
		t.Fatal(err)
	}
	dying, err := net.Listen("unix", h.Cluster("demo").Socket())
	if err != nil {
		t.Fatal(err)
	}
	took := make(chan int, 1)
	go func() {
		count := 0
		for ; count < 2; count++ { // the check that it runs, and the request
			conn, err := dying.Accept()
			if err != nil {
				break
			}
			_ = conn.Close()
		}
		_ = dying.Close()
		took <- count
	}()
	c := client.New(client.Config{Home: h, Name: "demo", ImageDir: images, Command: []string{self}})
	up(t, c, small("demo"))
	if count := <-took; count != 2 {
		t.Errorf("the dying daemon was asked %d times", count)
	}
	if err := c.Down(t.Context(), daemonapi.DownRequest{}, ignore); err != nil {
		t.Error(err)
	}
}

func TestDownWaitsForTheLogStoreOfADaemonThatWasKilled(t *testing.T) {
	h := shortHome(t)
	dir := h.Cluster("demo")
	if err := os.MkdirAll(dir.Logs(), 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir.Logs(), home.LogLock))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	deleting, wrote := make(chan struct{}), make(chan error, 1)
	go func() {
		<-deleting
		var failed error
		for range 50 { // it still writes
			time.Sleep(5 * time.Millisecond)
			failed = errors.Join(failed, os.WriteFile(filepath.Join(dir.Logs(), "part"), nil, 0o600))
		}
		wrote <- failed
		_ = file.Close()
	}()
	c := client.New(client.Config{Home: h, Name: "demo"})
	err = c.Down(t.Context(), daemonapi.DownRequest{}, func(e daemonapi.Event) {
		if e.Phase == daemonapi.PhaseDelete {
			close(deleting)
		}
	})
	if failed := <-wrote; err != nil || failed != nil {
		t.Errorf("down: %v; what the store wrote: %v", err, failed)
	}
	if _, err := os.Stat(string(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cluster's directory: %v", err)
	}
}
