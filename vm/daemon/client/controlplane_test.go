package client_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/restore/restoretest"
)

// fakeControlPlane is the control plane of one node.
type fakeControlPlane struct {
	*restoretest.ControlPlane
	env  *environment
	node string
}

func (f *fakeControlPlane) Members(context.Context) ([]controlapi.EtcdMember, error) {
	return []controlapi.EtcdMember{{Name: f.node}}, nil
}

func (f *fakeControlPlane) Snapshot(_ context.Context, out io.Writer) error {
	f.env.pass()
	f.env.mu.Lock()
	defer f.env.mu.Unlock()
	if f.env.snapshot == nil {
		return errors.ErrUnsupported
	}
	_, err := out.Write(f.env.snapshot)
	return err
}

func (f *fakeControlPlane) Defragment(context.Context) error { return nil }

func (f *fakeControlPlane) left(what string) {
	f.env.mu.Lock()
	defer f.env.mu.Unlock()
	f.env.left = append(f.env.left, what)
}

func (f *fakeControlPlane) Drain(context.Context) error {
	f.env.pass()
	f.left("drain " + f.node)
	return nil
}

func (f *fakeControlPlane) Remove(_ context.Context, r controlapi.RemoveRequest) error {
	f.left("remove " + r.Name)
	return nil
}

func (f *fakeControlPlane) Room(_ context.Context, r controlapi.RoomRequest) (controlapi.Room, error) {
	f.env.mu.Lock()
	defer f.env.mu.Unlock()
	if f.env.room == nil {
		return controlapi.Room{}, controlapi.ErrRefused
	}
	return f.env.room(r), nil
}

func (f *fakeControlPlane) Compact(context.Context) error { return nil }

func (f *fakeControlPlane) Keys(context.Context) (controlapi.Keys, error) {
	f.env.mu.Lock()
	defer f.env.mu.Unlock()
	return controlapi.Keys{Loaded: fmt.Sprintf("%x", sha256.Sum256(f.env.documents[f.node].Files[pki.EncryptionFile]))}, nil
}

func (f *fakeControlPlane) SecretKeys(context.Context) (map[string]int, error) {
	f.env.mu.Lock()
	defer f.env.mu.Unlock()
	counts := map[string]int{}
	for _, key := range f.env.under {
		counts[key]++
	}
	return counts, nil
}
