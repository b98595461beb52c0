package splice_test

import (
	"io"
	"net"
	"testing"

	"github.com/skiff-dev/skiff/internal/splice"
)

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return client, server
}

func TestBothForwardsTheEndOfEachDirection(t *testing.T) {
	client, a := tcpPair(t)
	server, b := tcpPair(t)
	done := make(chan struct{})
	go func() {
		splice.Both(a, b)
		close(done)
	}()
	if _, err := client.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	_ = client.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(server); string(got) != "question" || err != nil {
		t.Errorf("server reads %q, %v", got, err)
	}
	if _, err := server.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	if got, err := io.ReadAll(client); string(got) != "answer" || err != nil {
		t.Errorf("client reads %q, %v", got, err)
	}
	<-done
}

func TestBothEndsWhenOneConnectionCannotHalfClose(t *testing.T) {
	client, a := net.Pipe()
	server, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		splice.Both(a, b)
		close(done)
	}()
	_ = client.Close()
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Error("the server's connection is still open")
	}
	<-done
}
