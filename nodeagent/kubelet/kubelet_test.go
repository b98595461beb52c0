package kubelet

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestTheKubeletStartsOnlyWhenTheContainerRuntimeListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cri.sock")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := awaitSocket(ctx, path); err == nil {
		t.Error("nobody listens, and it did not wait")
	}
	done := make(chan error, 1)
	go func() { done <- awaitSocket(t.Context(), path) }()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
