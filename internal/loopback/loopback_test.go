package loopback_test

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"

	"github.com/skiff-dev/skiff/internal/loopback"
)

func TestAPortIsTakenOnEveryLoopbackAddress(t *testing.T) {
	listeners, err := loopback.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		defer func() { _ = l.Close() }()
	}
	port := listeners[0].Addr().(*net.TCPAddr).Port
	if _, err := loopback.Listen(port); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second time: %v", err)
	}
	other, err := net.Listen("tcp6", net.JoinHostPort("::1", strconv.Itoa(port)))
	if err == nil {
		_ = other.Close()
		t.Error("another program can use the port on ::1")
	}
}

func TestAPortThatAnotherProgramUsesOnOneAddressIsRefused(t *testing.T) {
	other, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		other, err = net.Listen("tcp4", "127.0.0.1:0") // the host has no IPv6
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	port := other.Addr().(*net.TCPAddr).Port
	if _, err := loopback.Listen(port); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
}
