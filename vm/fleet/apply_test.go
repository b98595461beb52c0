package fleet

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestProgressShowsWhatTheAPIServerWaitsFor(t *testing.T) {
	for message, want := range map[string]string{
		"connection refused": "waiting for the API server to listen",
		`an error on the server ("[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed") has prevented the request from succeeding`: "waiting for the API server: etcd",
		`[-]etcd failed: x [-]informer-sync failed: x`:                              "waiting for the API server: etcd, informer-sync",
		`[-]etcd failed: x [-]informer-sync failed: x [-]poststarthook/a failed: x`: "waiting for the API server: etcd and other checks",
	} {
		if got := waitsFor(errors.New(message)); got != want {
			t.Errorf("%s: %q, want %q", message, got, want)
		}
	}
	if got := waitsFor(fmt.Errorf("get: %w", context.DeadlineExceeded)); got != "waiting for the API server to answer" {
		t.Errorf("a timeout: %q", got)
	}
}
