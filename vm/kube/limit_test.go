package kube

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"
)

// silent accepts requests and never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestRequestsToAnAPIServerThatNeverAnswersEnd(t *testing.T) {
	for name, request := range map[string]func(context.Context, *Client) error{
		"ready":   func(ctx context.Context, c *Client) error { return c.Ready(ctx) },
		"version": func(ctx context.Context, c *Client) error { _, err := c.Version(ctx); return err },
		"nodes":   func(ctx context.Context, c *Client) error { _, err := c.Nodes(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := New(&rest.Config{Host: "https://127.0.0.1:6443", Transport: silent{}})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if err := request(t.Context(), c); err == nil {
					t.Error("no error")
				}
				if took := time.Since(began); took > 2*requestLimit {
					t.Errorf("took %s", took)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if err := request(ctx, c); err == nil {
					t.Error("a canceled request succeeded")
				}
			})
		})
	}
}
