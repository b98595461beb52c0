package accept_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/internal/accept"
)

// scripted is a listener that first fails with each of its errors.
type scripted struct {
	failures []error
	conns    chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func newScripted(failures ...error) *scripted {
	return &scripted{failures: failures, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *scripted) Accept() (net.Conn, error) {
	if len(l.failures) > 0 {
		err := l.failures[0]
		l.failures = l.failures[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *scripted) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *scripted) Addr() net.Addr { return &net.TCPAddr{} }

var discard = slog.New(slog.DiscardHandler)

func TestServeSurvivesAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newScripted(syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM)
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		served := make(chan time.Duration, 1)
		done := make(chan error, 1)
		go func() {
			done <- accept.Serve(ctx, listener, discard, func(_ context.Context, conn net.Conn) {
				_ = conn.Close()
				served <- time.Since(began)
			})
		}()
		client, server := net.Pipe()
		defer client.Close()
		listener.conns <- server
		if waited, want := <-served, (5+10+20+40+80+160)*time.Millisecond; waited != want {
			t.Errorf("served after %s, want %s: the pause doubles", waited, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
}

func TestServePausesForASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failures []error
		for range 100 {
			failures = append(failures, syscall.EMFILE)
		}
		listener := newScripted(failures...)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() {
			client, server := net.Pipe()
			defer client.Close()
			listener.conns <- server
			cancel()
		}()
		err := accept.Serve(ctx, listener, discard, func(_ context.Context, conn net.Conn) { _ = conn.Close() })
		if took := time.Since(began); err != nil || took < 90*time.Second || took > 100*time.Second {
			t.Errorf("took %s, error %v", took, err)
		}
	})
}

func TestServeReportsAListenerThatSomebodyElseClosed(t *testing.T) {
	listener := newScripted()
	_ = listener.Close()
	err := accept.Serve(t.Context(), listener, discard, func(context.Context, net.Conn) {})
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v", err)
	}
}

func TestServeWaitsForItsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newScripted()
		ctx, cancel := context.WithCancel(t.Context())
		ended := false
		done := make(chan error, 1)
		go func() {
			done <- accept.Serve(ctx, listener, discard, func(ctx context.Context, conn net.Conn) {
				<-ctx.Done()
				time.Sleep(time.Second)
				ended = true
				_ = conn.Close()
			})
		}()
		client, server := net.Pipe()
		defer client.Close()
		listener.conns <- server
		cancel()
		if err := <-done; err != nil || !ended {
			t.Errorf("Serve = %v, handler ended: %v", err, ended)
		}
	})
}

// slow is a listener that is like those of the package net: what waits in Accept returns before
// the descriptor is closed, and so does a second Close.
type slow struct {
	*scripted
	closing    *atomic.Bool
	descriptor chan struct{}
}

func (l slow) Close() error {
	if !l.closing.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	close(l.closed)
	<-l.descriptor
	return nil
}

func TestServeReturnsWhenTheAddressIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := slow{newScripted(), new(atomic.Bool), make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- accept.Serve(ctx, listener, discard, func(context.Context, net.Conn) {}) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("Serve returned %v before the listener was closed", err)
		default:
		}
		close(listener.descriptor)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
