package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/registry"
	"github.com/skiff-dev/skiff/vm/registry/client"
)

// eventually calls check until it returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// startRegistry runs a registry in a home among parts, at a free port. It returns a client of
// it, which starts no other one, its port, and a function that ends it.
func startRegistry(t *testing.T, parts *parts, h home.Home, log *slog.Logger) (*client.Client, uint16, func()) {
	t.Helper()
	c, port, stop, ended := client.New(h, []string{"true"}), runtest.FreePort(t), make(chan struct{}), make(chan struct{})
	parts.run(func(ctx context.Context) {
		defer close(ended)
		ctx, cancel := untilChanged(ctx, stop)
		defer cancel()
		err := home.ErrLocked // also while the client looks whether one runs
		for errors.Is(err, home.ErrLocked) && ctx.Err() == nil {
			err = registry.Run(ctx, registry.Config{Home: h, Port: int(port), Log: log})
		}
		if err != nil {
			t.Error(err)
		}
	})
	eventually(t, func() error {
		_, err := c.Status(t.Context())
		return err
	})
	return c, port, func() { close(stop); <-ended }
}

func TestTheClusterUsesTheRegistryAsItsSpecAsks(t *testing.T) {
	dir, err := os.MkdirTemp("", "skiff-") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	parts := newParts(ctx, log)
	t.Cleanup(parts.close)
	t.Cleanup(cancel)
	c, port, end := startRegistry(t, parts, home.Home(dir), log)
	state := &store{path: filepath.Join(dir, "cluster.json"), state: cluster.State{Spec: cluster.Default()}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	user := newRegistryUser(core{log: log, state: state}, c, func(uint16) (net.Listener, error) { return listener, nil })
	parts.keep("use", user.use)
	parts.keep("serve", user.serve)
	uses := func(want bool) {
		t.Helper()
		eventually(t, func() error {
			status, err := c.Status(t.Context())
			if err == nil && slices.Contains(status.Clusters, "skiff") != want {
				err = fmt.Errorf("clusters %v", status.Clusters)
			}
			return err
		})
		eventually(t, func() error {
			response, err := http.Get("http://" + address + "/v2/")
			if err != nil {
				return err
			}
			response.Body.Close()
			if (response.StatusCode == http.StatusOK) != want {
				return errors.New(response.Status)
			}
			return nil
		})
	}
	uses(true)
	if got := <-user.address; got != fmt.Sprintf("localhost:%d", port) {
		t.Errorf("announced %q", got)
	}
	for _, disabled := range []bool{true, false} {
		if err := state.change(func(s *cluster.State) { s.Spec.Registry.Disabled = disabled }); err != nil {
			t.Fatal(err)
		}
		user.wake()
		uses(!disabled)
		if got := <-user.address; (got == "") != disabled {
			t.Errorf("disabled %v: announced %q", disabled, got)
		}
	}

	end()
	_, port, _ = startRegistry(t, parts, home.Home(dir), log)
	uses(true)
	if got := <-user.address; got != fmt.Sprintf("localhost:%d", port) {
		t.Errorf("after a restart of the registry at port %d: announced %q", port, got)
	}
}
