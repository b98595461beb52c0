package client_test

import (
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/template"
)

// newTemplate makes a template and returns the rig of its cluster, which has ended.
func newTemplate(t *testing.T, h home.Home) (*rig, template.Template) {
	t.Helper()
	images := imageDir(t)
	spec := small("template")
	spec.KubernetesVersion = "1.36"
	key, err := template.Key(spec, images)
	if err != nil {
		t.Fatal(err)
	}
	dir := template.Dir(h, key)
	r := startRig(t, newEnvironment(), h.Template(key), template.Shape(spec), images)
	up(t, r.client, r.spec)
	r.takes(t, template.SnapshotName)
	r.stoppedWith(t, daemonapi.StopRequest{Shutdown: true})
	made, err := template.Complete(h, template.Template{Key: key, Shape: r.spec}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir.State()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cluster of the template is still there: %v", err)
	}
	return r, made
}

// begins returns a rig for a new cluster and the request that makes it from the template of r.
func (r *rig) begins(t *testing.T, h home.Home, made template.Template, name string) (*rig, cluster.CloneRequest) {
	t.Helper()
	origin, _, err := made.Origin(h)
	if err != nil {
		t.Fatal(err)
	}
	w := newEnvironment()
	w.clients = string(r.pki(t)["ca.crt"])
	r.mu.Lock()
	w.under, w.inherited = maps.Clone(r.under), maps.Clone(r.documents)
	r.mu.Unlock()
	w.programs = newPrograms(t.TempDir() + ":0")
	spec := small(name)
	spec.KubernetesVersion, spec.Records.Keep = "1.36", "48h"
	return startRig(t, w, h, spec, r.images), cluster.CloneRequest{Origin: origin, Spec: spec, Memory: true}
}

func TestClustersThatBeginWithATemplateShareNothing(t *testing.T) {
	h := shortHome(t)
	r, made := newTemplate(t, h)
	a, request := r.begins(t, h, made, "a")
	a.refuse = true // secrets cannot be written, so nothing else is replaced yet
	if said := a.makes(t, request); said != "made from template "+made.Key {
		t.Errorf("said %q", said)
	}
	if _, boots := a.counts(); boots != 0 {
		t.Errorf("%d machines booted", boots)
	}
	status, err := a.client.Status(t.Context())
	if err != nil || status.Origin != "template "+made.Key || len(status.Notes) != 1 || !strings.Contains(status.Notes[0], "shared with its template") {
		t.Errorf("origin %q, notes %q, %v", status.Origin, status.Notes, err)
	}
	if read, err := template.Read(h, made.Key); err != nil || !read.Used.After(made.Created) {
		t.Errorf("the template was used at %s, %v", read.Used, err)
	}
	if spec, err := a.client.Spec(); err != nil || spec.Records.Keep != "48h" || spec.Name != "a" {
		t.Errorf("the configuration is that of the template: %+v, %v", spec, err)
	}
	a.mu.Lock()
	a.refuse = false
	a.mu.Unlock()
	b, request := r.begins(t, h, made, "b")
	b.makes(t, request)
	wantParted(t, r, a)
	wantParted(t, r, b)
	wantNoCommonKey(t, a, b)
	if string(a.keyring(t).Keys[0].Secret) == string(b.keyring(t).Keys[0].Secret) {
		t.Error("the same key encrypts secrets")
	}
	if names, err := h.Names(); err != nil || len(names) != 2 {
		t.Errorf("clusters %q, %v", names, err)
	}
}

func TestATemplateWhoseMemoryCannotBeUsedIsRemoved(t *testing.T) {
	h := shortHome(t)
	r, made := newTemplate(t, h)
	c, request := r.begins(t, h, made, "a")
	c.earlier = true
	var said []string
	if err := c.client.Clone(t.Context(), request, func(e daemonapi.Event) { said = append(said, e.Message) }); err != nil {
		t.Fatal(err)
	}
	if _, boots := c.counts(); boots != 3 || !strings.Contains(strings.Join(said, "\n"), "its saved memory was not used: the node did not answer") {
		t.Errorf("%d machines booted, said %q", boots, said)
	}
	if _, err := template.Read(h, made.Key); !errors.Is(err, template.ErrNone) {
		t.Errorf("the template: %v", err)
	}
	c.parts(t)
}
