package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// silent accepts requests and never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestCallsToANodeThatNeverAnswersEnd(t *testing.T) {
	calls := map[string]func(context.Context, *Client) error{
		"status":   func(ctx context.Context, c *Client) error { _, err := c.Status(ctx); return err },
		"files":    func(ctx context.Context, c *Client) error { return c.WriteFiles(ctx, nil) },
		"identity": func(ctx context.Context, c *Client) error { return c.SetIdentity(ctx, nil) },
		"clock":    func(ctx context.Context, c *Client) error { return c.SetClock(ctx) },
		"off":      func(ctx context.Context, c *Client) error { return c.PowerOff(ctx) },
		"restart":  func(ctx context.Context, c *Client) error { return c.Restart(ctx) },
		"programs": func(ctx context.Context, c *Client) error { _, err := c.Programs(ctx); return err },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := call(t.Context(), New("worker-1", "http://node", silent{}))
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "node worker-1") {
					t.Errorf("error %v", err)
				}
				if took := time.Since(began); took != callLimit {
					t.Errorf("took %s, want %s", took, callLimit)
				}
			})
		})
	}
}

// slow takes as long as given for each request, one after another, and no time for others. It
// keeps how late each time arrived.
type slow struct {
	takes []time.Duration
	late  []time.Duration
}

func (s *slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(s.takes) > 0 {
		time.Sleep(s.takes[0])
		s.takes = s.takes[1:]
	}
	var request nodeapi.ClockRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return nil, err
	}
	s.late = append(s.late, time.Since(request.Time))
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
}

func TestATimeThatArrivesLateIsSentAgain(t *testing.T) {
	for _, test := range []struct {
		takes []time.Duration
		late  time.Duration // of the last time
		sent  int
	}{
		{nil, 0, 1},
		{[]time.Duration{slowClock}, slowClock, 1},
		{[]time.Duration{6 * time.Second}, 0, 2},
		{[]time.Duration{6 * time.Second, 2 * time.Second, 0}, 0, 3},
		{[]time.Duration{6 * time.Second, 2 * time.Second, 3 * time.Second, 0}, 3 * time.Second, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &slow{takes: test.takes}
			if err := New("worker-1", "http://node", s).SetClock(t.Context()); err != nil {
				t.Fatal(err)
			}
			if last := s.late[len(s.late)-1]; len(s.late) != test.sent || last != test.late {
				t.Errorf("requests of %s: sent %d times, the last %s late", test.takes, len(s.late), last)
			}
		})
	}
}

func TestATLSHandshakeThatNeverAnswersEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dial := func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			t.Cleanup(func() { _ = far.Close() })
			return near, nil
		}
		pool := NewPool(dial, func() (*tls.Config, error) { return &tls.Config{MinVersion: tls.VersionTLS13}, nil }, func(string, *x509.Certificate) bool { return false })
		defer pool.CloseIdleConnections()
		began := time.Now()
		if _, err := pool.Certificate(t.Context(), netip.MustParseAddr("192.168.104.21")); err == nil {
			t.Error("a certificate without a handshake")
		}
		if took := time.Since(began); took > callLimit {
			t.Errorf("took %s", took)
		}
	})
}

func TestErrorsAreTheFailureOrTheStatusOfTheAnswer(t *testing.T) {
	answer := `{"cause":"cluster is paused","hint":"resume it"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	c := New("worker-1", server.URL, http.DefaultTransport)
	var failure *daemonapi.Failure
	if _, err := c.Status(t.Context()); !errors.As(err, &failure) || failure.Hint != "resume it" {
		t.Errorf("a failure: %v", err)
	}
	if _, err := c.Exec(t.Context(), nodeapi.ExecRequest{Args: []string{"ls"}}, Streams{}); !errors.As(err, &failure) {
		t.Errorf("exec: %v", err)
	}
	answer = "out of order"
	if _, err := c.Logs(t.Context(), "kernel", 1, false); err == nil || !strings.Contains(err.Error(), "503 Service Unavailable: out of order") {
		t.Errorf("plain text: %v", err)
	}
}
