package fleet

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/cluster"
)

func TestTheAPILoadBalancerListensAgainAfterItsListenerWasClosed(t *testing.T) {
	f, _ := openAt(t, time.Now())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAPIServers(f.core, listener)
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	if err := a.serve(t.Context()); err == nil {
		t.Error("no error without a listener")
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- a.serve(ctx) }()
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", a.port))
		if err == nil {
			_ = conn.Close()
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestTheAPIAnswersAtAFurtherAddressWhileItIsWanted(t *testing.T) {
	f, _ := openAt(t, time.Now())
	a := f.api
	runtest.Start(t, a.serve)
	runtest.Start(t, a.serveAlso)
	for _, step := range []struct {
		wanted string
		open   map[string]bool
	}{
		{"", map[string]bool{"127.0.0.1": true, "127.0.0.9": false}},
		{"127.0.0.9", map[string]bool{"127.0.0.1": true, "127.0.0.9": true, "127.0.0.8": false}},
		{"127.0.0.8", map[string]bool{"127.0.0.1": true, "127.0.0.9": false, "127.0.0.8": true}},
		{"", map[string]bool{"127.0.0.1": true, "127.0.0.9": false, "127.0.0.8": false}},
	} {
		if err := f.state.change(func(s *cluster.State) { s.Spec.APIAddress = step.wanted }); err != nil {
			t.Fatal(err)
		}
		a.move()
		for host, want := range step.open {
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
				conn, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(a.port)))
				if err == nil {
					_ = conn.Close()
				}
				if (err == nil) == want {
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("apiAddress %q: %s is open: %v, want %v", step.wanted, host, err == nil, want)
					break
				}
			}
		}
	}
}

func TestTheAPIStaysOn127001WhileItsPortIsTakenElsewhere(t *testing.T) {
	f, _ := openAt(t, time.Now())
	a := f.api
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.9:%d", a.port))
	if err != nil {
		t.Fatal(err)
	}
	runtest.Start(t, a.serve)
	open := func(host string) bool {
		conn, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(a.port)))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	await(t, "open", func() bool { return open("127.0.0.1") })
	if err := f.state.change(func(s *cluster.State) { s.Spec.APIAddress = "0.0.0.0" }); err != nil {
		t.Fatal(err)
	}
	a.move()
	await(t, "refused", func() bool { return a.refused.Load() != 0 })
	await(t, "open again", func() bool { return open("127.0.0.1") })
	if err := a.serveAlso(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("another program uses port %d", a.port)) {
		t.Errorf("the problem is %v", err)
	}

	_ = taken.Close()
	a.refused.Store(1) // long ago
	runtest.Start(t, a.serveAlso)
	await(t, "open everywhere", func() bool { return open("127.0.0.9") && open("127.0.0.1") })
}

// await waits until check returns true.
func await(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !check(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: timed out", what)
		}
	}
}
