package rig

import (
	"context"
	"errors"
	"testing"
)

// Serve runs a control plane with the objects of Fill, and acts as its kubelets, until
// the test ends. root is the root of this repository. Serve skips the test in short mode
// and if the control plane is not built.
func Serve(t testing.TB, root string) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	program, err := Program(root)
	if errors.Is(err, ErrNotBuilt) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	if err := s.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.Kubelets(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	return s
}
