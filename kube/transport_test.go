package kube

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// relay forwards connections to a server. When silent is set, it drops all data
// without closing anything, like a stopped process or a cut cable.
type relay struct {
	net.Listener
	silent atomic.Bool
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			t.Cleanup(func() { _, _ = near.Close(), far.Close() })
			go r.pass(near, far)
			go r.pass(far, near)
		}
	}()
	return r
}

func (r *relay) pass(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if r.silent.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestWatchEndsWhenTheServerStopsResponding(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // a watch without events
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.CloseClientConnections)
	line := newRelay(t, strings.TrimPrefix(server.URL, "https://"))
	client, err := newHTTPClient(&rest.Config{Host: "https://" + line.Addr().String(), TLSClientConfig: rest.TLSClientConfig{Insecure: true}}, 50*time.Millisecond, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Get("https://" + line.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.ProtoMajor != 2 {
		t.Fatalf("got %s, want HTTP/2", answer.Proto)
	}
	ended := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, answer.Body); ended <- err }()
	select {
	case err := <-ended:
		t.Fatalf("the watch ended while the server was responding: %v", err)
	case <-time.After(time.Second): // several pings
	}
	line.silent.Store(true)
	select {
	case err := <-ended:
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the watch ended as if the server had closed it: %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("the watch did not end")
	}
}

func TestClientsOfTheConfigShareOneConnection(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	var connections atomic.Int64
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	c, err := ForConfig("dev", &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		client, err := rest.HTTPClientFor(c.config)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		runtime.GC()
		runtime.GC() // collects what is held weakly
	}
	runtime.KeepAlive(c)
	if n := connections.Load(); n != 1 {
		t.Errorf("got %d connections, want 1", n)
	}
}
