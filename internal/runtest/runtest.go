// Package runtest runs what is long-lived for the duration of a test.
package runtest

import (
	"context"
	"testing"
	"time"
)

// limit is how long run may take to return after its context has ended, and a watch to begin.
const limit = 10 * time.Second

// Start calls run in the background and ends its context when the test ends. The test
// fails if run returns an error, or does not return.
func Start(t testing.TB, run func(context.Context) error) {
	t.Helper()
	// t.Context ends before the cleanups of the test, which may still need run.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v", err)
			}
		case <-time.After(limit):
			t.Error("Run does not return after its context ended")
		}
	})
}
