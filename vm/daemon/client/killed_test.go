package client_test

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
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
