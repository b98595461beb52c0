package front

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
)

func TestOrderPutsTheLastThatAnsweredFirst(t *testing.T) {
	a, b, c := address(t, "10.0.0.1:1"), address(t, "10.0.0.2:1"), address(t, "10.0.0.3:1")
	for _, test := range []struct {
		name  string
		first netip.AddrPort
		want  []netip.AddrPort
	}{
		{"none answered yet", netip.AddrPort{}, []netip.AddrPort{a, b, c}},
		{"the first", a, []netip.AddrPort{a, b, c}},
		{"the last", c, []netip.AddrPort{c, a, b}},
		{"one that is no longer there", address(t, "10.0.0.9:1"), []netip.AddrPort{a, b, c}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := order([]netip.AddrPort{a, b, c}, test.first); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestForwardsToTheNextBackendWhenOneIsDown(t *testing.T) {
	down := refused(t)
	up := echo(t)
	front := &Front{Backends: []netip.AddrPort{down, up}}
	to := serve(t, front)

	if got := ask(t, to, "hello\n"); got != "hello\n" {
		t.Errorf("got %q through the front", got)
	}
	if front.candidates()[0] != up {
		t.Errorf("front prefers %v after %v answered", front.candidates()[0], up)
	}
}

func TestClosesTheClientWhenNoBackendAnswers(t *testing.T) {
	to := serve(t, &Front{Backends: []netip.AddrPort{refused(t)}})
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("read something from nowhere")
	}
}

func TestOneSideMayEndWhileTheOtherStillSends(t *testing.T) {
	to := serve(t, &Front{Backends: []netip.AddrPort{echo(t)}})
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "all of it"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "all of it" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestEndsOpenConnectionsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	front := &Front{Backends: []netip.AddrPort{echo(t)}}
	go func() { done <- front.Serve(ctx, listener) }()

	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "x\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection outlived the front")
	}
}

func address(t *testing.T, s string) netip.AddrPort {
	t.Helper()
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// refused returns an address on which nothing listens.
func refused(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return address(t, listener.Addr().String())
}

func echo(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return address(t, listener.Addr().String())
}

func serve(t *testing.T, front *Front) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- front.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return address(t, listener.Addr().String())
}

func ask(t *testing.T, to netip.AddrPort, question string) string {
	t.Helper()
	conn, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, question); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
