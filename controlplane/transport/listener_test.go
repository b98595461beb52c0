package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/transport"
)

func TestListenerJoinsTwoEnds(t *testing.T) {
	l := transport.NewListener()
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "hello")
	}()
	c, err := l.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestClosedListenerRefuses(t *testing.T) {
	l := transport.NewListener()
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("dial: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("accept: %v", err)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := transport.NewListener().Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
