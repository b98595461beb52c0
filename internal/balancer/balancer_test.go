package balancer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/skiff-dev/skiff/internal/balancer"
	"github.com/skiff-dev/skiff/internal/runtest"
)

func TestSkipsABackendThatIsDownAndPrefersTheOneThatAnsweredLast(t *testing.T) {
	b, address := run(t, nil)
	second := backend(t, "second")
	b.SetBackends([]string{refused(t), second})
	if name, _ := connect(t, address); name != "second\n" {
		t.Errorf("reached %q", name)
	}
	b.SetBackends([]string{backend(t, "first"), second})
	if name, _ := connect(t, address); name != "second\n" {
		t.Errorf("reached %q, want the one that answered last", name)
	}
}

func TestBackendsBeginWithTheOneThatAnsweredLast(t *testing.T) {
	names := []string{backend(t, "a"), backend(t, "b"), backend(t, "c")}
	a, b, c := names[0], names[1], names[2]
	for _, test := range []struct {
		name   string
		answer string
		want   []string
	}{
		{"none answered yet", "", []string{a, b, c}},
		{"the first", a, []string{a, b, c}},
		{"the last", c, []string{c, a, b}},
		{"one that was removed", backend(t, "d"), []string{a, b, c}},
	} {
		t.Run(test.name, func(t *testing.T) {
			lb, address := run(t, nil)
			if test.answer != "" {
				lb.SetBackends([]string{test.answer})
				connect(t, address)
			}
			lb.SetBackends(names)
			if got := lb.Backends(); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestConnectionsToADepartingBackendAreLeftOpen(t *testing.T) {
	b, address := run(t, nil)
	first, second := backend(t, "first"), backend(t, "second")
	b.SetBackends([]string{first, second})
	name, conn := connect(t, address)
	if name != "first\n" {
		t.Fatalf("reached %q", name)
	}
	b.SetBackends([]string{second}, first)
	if name, _ := connect(t, address); name != "second\n" {
		t.Errorf("a new connection reached %q, want the backend that stays", name)
	}
	if !echoes(conn) {
		t.Error("the connection to the departing backend was closed")
	}
	b.SetBackends([]string{second})
	if echoes(conn) {
		t.Error("the connection to a removed backend is still open")
	}
}

func TestClosesTheClientWhenNoBackendAnswers(t *testing.T) {
	b, address := run(t, nil)
	if name, _ := connect(t, address); name != "" {
		t.Errorf("without backends, reached %q", name)
	}
	b.SetBackends([]string{refused(t)})
	if name, _ := connect(t, address); name != "" {
		t.Errorf("reached %q", name)
	}
}

func TestOneSideMayFinishSendingWhileItStillReads(t *testing.T) {
	b, address := run(t, nil)
	b.SetBackends([]string{backend(t, "echo")})
	_, conn := connect(t, address)
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); string(rest) != "hello" || err != nil {
		t.Errorf("echo %q, %v", rest, err)
	}
}

func TestConnectionsCloseWhenTheContextEnds(t *testing.T) {
	listener := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	b := &balancer.Balancer{Listener: listener}
	b.SetBackends([]string{backend(t, "echo")})
	go func() { done <- b.Run(ctx) }()
	_, conn := connect(t, listener.Addr().String())
	if !echoes(conn) {
		t.Fatal("no echo")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}

// exhausted is a listener whose process has run out of descriptors at first.
type exhausted struct {
	net.Listener
	failures atomic.Int32
}

func (l *exhausted) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestKeepsServingAfterAcceptErrors(t *testing.T) {
	listener := &exhausted{Listener: listen(t)}
	listener.failures.Store(4)
	b, address := run(t, listener)
	b.SetBackends([]string{backend(t, "first")})
	if name, _ := connect(t, address); name != "first\n" {
		t.Errorf("reached %q", name)
	}
}

func TestABackendRemovedWhileItIsDialedGetsNoConnection(t *testing.T) {
	listener := listen(t)
	slow := backend(t, "slow")
	b := &balancer.Balancer{Listener: listener}
	b.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		b.SetBackends(nil)
		return conn, err
	}
	b.SetBackends([]string{slow})
	serve(t, b)
	if name, _ := connect(t, listener.Addr().String()); name != "" {
		t.Errorf("reached %q", name)
	}
}

func TestABackendThatDoesNotAnswerIsGivenUp(t *testing.T) {
	listener := listen(t)
	b := &balancer.Balancer{Listener: listener, DialTimeout: 1}
	b.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("ended by %v", ctx.Err())
		}
		return nil, ctx.Err()
	}
	b.SetBackends([]string{"192.0.2.1:1"})
	serve(t, b)
	if name, _ := connect(t, listener.Addr().String()); name != "" {
		t.Errorf("reached %q", name)
	}
}

// backend sends its name to every client, then echoes.
func backend(t *testing.T, name string) string {
	t.Helper()
	listener := listen(t)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.WriteString(conn, name+"\n")
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func echoes(conn net.Conn) bool {
	answer := make([]byte, 2)
	if _, err := io.WriteString(conn, "hi"); err != nil {
		return false
	}
	_, err := io.ReadFull(conn, answer)
	return err == nil
}

// refused returns an address on which nothing listens.
func refused(t *testing.T) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", runtest.FreePort(t))
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// run serves a balancer on listener, or on a new one if it is nil.
func run(t *testing.T, listener net.Listener) (*balancer.Balancer, string) {
	t.Helper()
	if listener == nil {
		listener = listen(t)
	}
	b := &balancer.Balancer{Listener: listener}
	serve(t, b)
	return b, listener.Addr().String()
}

func serve(t *testing.T, b *balancer.Balancer) {
	t.Helper()
	b.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// connect returns the name of the backend that answers, "" if none does.
func connect(t *testing.T, address string) (string, net.Conn) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	name, _ := bufio.NewReader(conn).ReadString('\n')
	return name, conn
}

func TestAClientIsAUseUntilItsConnectionEnds(t *testing.T) {
	listener := listen(t)
	uses, let := make(chan int, 9), make(chan error)
	var open atomic.Int32
	b := &balancer.Balancer{Listener: listener, Use: func(context.Context) (func(), error) {
		uses <- int(open.Add(1))
		if err := <-let; err != nil {
			return nil, err
		}
		return func() { uses <- int(open.Add(-1)) }, nil
	}}
	serve(t, b)
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if n := <-uses; n != 1 {
		t.Errorf("%d uses", n)
	}
	b.SetBackends([]string{backend(t, "late")}) // the client waits for it
	let <- nil
	if name, err := bufio.NewReader(client).ReadString('\n'); name != "late\n" {
		t.Errorf("reached %q, %v", name, err)
	}
	own, err := b.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if name, err := bufio.NewReader(own).ReadString('\n'); name != "late\n" || len(uses) > 0 {
		t.Errorf("reached %q by a connection of this process, %v", name, err)
	}
	_ = client.Close()
	if n := <-uses; n != 0 {
		t.Errorf("%d uses", n)
	}
	b.SetBackends(nil)
	if _, err := own.Read(make([]byte, 1)); err == nil {
		t.Error("a connection to a backend that was removed is open")
	}
	if _, err := b.Connect(t.Context()); err == nil {
		t.Error("connected without a backend")
	}

	refused, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	<-uses
	let <- errors.New("not now")
	if n, err := refused.Read(make([]byte, 1)); err == nil {
		t.Errorf("a client that may not use it got %d bytes", n)
	}
}
