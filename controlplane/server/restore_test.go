package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

// refusesInvalid stages what is not a snapshot.
func (f *fleet) refusesInvalid(t *testing.T) {
	c := f.all[0].control()
	var whole bytes.Buffer
	if err := c.Snapshot(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	for _, invalid := range []string{"", "nonsense", whole.String()[:whole.Len()/2], whole.String()[:whole.Len()-32]} {
		if _, err := c.Stage(t.Context(), strings.NewReader(invalid)); !errors.Is(err, controlapi.ErrInvalid) {
			t.Errorf("staged %d bytes: %v", len(invalid), err)
		}
	}
	id := controlapi.RestoreRequest{ID: "invalid"}
	if err := c.Replace(t.Context(), id); !errors.Is(err, controlapi.ErrRefused) {
		t.Errorf("replaced the data of a member that serves: %v", err)
	}
	if err := c.Revert(t.Context(), id); err != nil {
		t.Errorf("revert of nothing: %v", err)
	}
	f.voters(t, 0, 3)
}

// hold holds control plane i, whose process ends and is started again for that.
func (f *fleet) hold(t *testing.T, i int, id string) {
	t.Helper()
	f.eventually(t, i, fmt.Sprintf("control plane %d is held", i+1), func(ctx context.Context) error {
		c := f.all[i].control()
		status, err := c.Status(ctx)
		if err == nil && status.State != controlapi.StateHeld {
			err = errors.Join(fmt.Errorf("it is %s", status.State), c.Hold(ctx, controlapi.RestoreRequest{ID: id}))
		}
		return err
	})
}

// stage takes a snapshot and stages it on the first control plane.
func (f *fleet) stage(t *testing.T) {
	t.Helper()
	var snapshot bytes.Buffer
	if err := f.all[0].control().Snapshot(t.Context(), &snapshot); err != nil {
		t.Fatal(err)
	}
	info, err := f.all[0].control().Stage(t.Context(), &snapshot)
	if err != nil || info.Revision == 0 {
		t.Fatalf("%+v, %v", info, err)
	}
}

func (f *fleet) make(t *testing.T, name string) {
	t.Helper()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := f.all[0].client.CoreV1().ConfigMaps("default").Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// has fails the test unless every control plane serves and has the object, or
// does not have it.
func (f *fleet) has(t *testing.T, name string, want bool) {
	t.Helper()
	for i, c := range f.all {
		f.ready(t, i)
		_, err := c.client.CoreV1().ConfigMaps("default").Get(t.Context(), name, metav1.GetOptions{})
		if want && err != nil || !want && !apierrors.IsNotFound(err) {
			t.Errorf("control plane %d, %s: %v", i+1, name, err)
		}
	}
}

// undone replaces the data of the first member, which is killed meanwhile, and
// brings back what there was.
func (f *fleet) undone(t *testing.T) {
	f.stage(t)
	f.make(t, "before-undo")
	id := controlapi.RestoreRequest{ID: "undone"}
	for i := range f.all {
		f.hold(t, i, id.ID)
	}
	first := f.all[0].control()
	if _, err := first.Members(t.Context()); !errors.Is(err, controlapi.ErrRefused) {
		t.Errorf("the members of an etcd that is held: %v", err)
	}
	if err := first.Replace(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	f.kill(0)
	f.launch(t, 0)
	f.eventually(t, 0, "it is held after a crash", func(ctx context.Context) error {
		status, err := first.Status(ctx)
		if err == nil && (status.Held != id.ID || status.Restored != id.ID) {
			err = fmt.Errorf("%+v", status)
		}
		return err
	})
	for range 2 { // interrupted and done again
		if err := first.Replace(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := first.Revert(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	for i, c := range f.all {
		if err := c.control().Release(t.Context(), controlapi.ReleaseRequest{ID: id.ID}); err != nil {
			t.Errorf("control plane %d: %v", i+1, err)
		}
	}
	f.voters(t, 0, 3)
	f.has(t, "before-undo", true)
}

// restored loses what was written after the snapshot, and finds the rest on all
// three.
func (f *fleet) restored(t *testing.T) {
	f.make(t, "kept-too")
	f.stage(t)
	f.make(t, "later")
	before, err := f.all[0].control().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const id = "restored"
	for _, i := range []int{1, 2, 0} {
		f.hold(t, i, id)
	}
	first := f.all[0].control()
	if err := first.Replace(t.Context(), controlapi.RestoreRequest{ID: "another"}); !errors.Is(err, controlapi.ErrRefused) {
		t.Errorf("replaced by another restore than holds: %v", err)
	}
	if err := first.Replace(t.Context(), controlapi.RestoreRequest{ID: id}); err != nil {
		t.Fatal(err)
	}
	if err := first.Release(t.Context(), controlapi.ReleaseRequest{ID: id}); err != nil {
		t.Fatal(err)
	}
	f.eventually(t, 0, "the first serves alone", func(ctx context.Context) error {
		status, err := first.Status(ctx)
		if err == nil && (status.State != controlapi.StateServing || status.Restored != id || status.ClusterID == before.ClusterID) {
			err = fmt.Errorf("%+v", status)
		}
		return err
	})
	for _, i := range []int{1, 2} {
		if err := f.all[i].control().Release(t.Context(), controlapi.ReleaseRequest{ID: id, Join: f.nodes[0].Name}); err != nil {
			t.Fatal(err)
		}
	}
	f.voters(t, 0, 3)
	f.has(t, "kept-too", true)
	f.has(t, "later", false)
}
