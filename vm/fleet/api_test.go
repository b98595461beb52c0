package fleet

import (
	"context"
	"net"
	"testing"
	"time"
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
		conn, err := net.Dial("tcp", a.address)
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
