package client_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// serveAuthorities serves the objects of the API that name authorities.
func (w *environment) serveAuthorities(mux *http.ServeMux) {
	type object = map[string]any
	answer := func(out http.ResponseWriter, object any) {
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(object)
	}
	const authentication = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
	mux.HandleFunc("GET "+authentication, func(out http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		answer(out, object{"kind": "ConfigMap", "apiVersion": "v1", "data": object{"client-ca-file": w.clients}})
	})
	mux.HandleFunc("PATCH "+authentication, func(out http.ResponseWriter, r *http.Request) {
		var patch struct{ Data map[string]string }
		if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
			panic(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.clients = patch.Data["client-ca-file"]
		answer(out, object{"kind": "ConfigMap", "apiVersion": "v1"})
	})
	for _, path := range []string{
		"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
		"/apis/apiregistration.k8s.io/v1/apiservices", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
	} {
		mux.HandleFunc("GET "+path, func(out http.ResponseWriter, _ *http.Request) { answer(out, object{"items": []object{}}) })
	}
}

// clone returns a rig for a clone of the rig's cluster, whose database is the same, and the
// request that makes it.
func (r *rig) clone(t *testing.T, name, snapshot string) (*rig, cluster.CloneRequest) {
	t.Helper()
	then, err := r.client.SnapshotState(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	w := newEnvironment()
	w.clients = string(r.pki(t)["ca.crt"])
	r.mu.Lock()
	w.under = maps.Clone(r.under)
	r.mu.Unlock()
	spec := then.CloneSpec(name)
	return startRig(t, w, r.home, spec, r.images), cluster.CloneRequest{Origin: cluster.Origin{Cluster: r.spec.Name, Snapshot: snapshot}, Spec: spec}
}

// pki returns the files of the cluster's credentials.
func (r *rig) pki(t *testing.T) pki.Files {
	t.Helper()
	files, err := pki.ReadFiles(r.home.Cluster(r.spec.Name).PKI())
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// makes runs the request and returns the last message.
func (r *rig) makes(t *testing.T, request cluster.CloneRequest) string {
	t.Helper()
	_, message := completed(t, func(ctx context.Context, event func(daemonapi.Event)) error {
		return r.client.Clone(ctx, request, event)
	})
	return message
}

// wantNoCommonKey fails the test if two clusters share a key or a certificate.
func wantNoCommonKey(t *testing.T, a, b *rig) {
	t.Helper()
	blocks := func(r *rig) map[string]string {
		all := map[string]string{}
		for path, content := range r.pki(t) {
			for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
				all[string(block.Bytes)] = path
			}
		}
		return all
	}
	of := blocks(a)
	for block, path := range blocks(b) {
		if other, ok := of[block]; ok {
			t.Errorf("%s is %s of the other cluster", path, other)
		}
	}
}

// wantApart fails the test unless two clusters share no key and no certificate, once the clone
// has replaced the encryption key.
func wantApart(t *testing.T, a, b *rig) {
	t.Helper()
	for {
		status, err := b.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(status.Problems) > 0 {
			t.Fatalf("problems %q", status.Problems)
		}
		if ring := b.keyring(t); ring.Phase == pki.PhaseSettled {
			break
		}
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	wantNoCommonKey(t, a, b)
	old, ring := a.keyring(t), b.keyring(t)
	if len(ring.Keys) != 1 || len(ring.Retired) > 0 || ring.Keys[0].Name == old.Keys[0].Name || string(ring.Keys[0].Secret) == string(old.Keys[0].Secret) {
		t.Errorf("keys: %d, retired %d, the first %s", len(ring.Keys), len(ring.Retired), ring.Keys[0].Name)
	}
	b.settled(t, ring.Keys[0].Name)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clients != string(b.pki(t)["ca.crt"]) {
		t.Error("aggregated APIs trust the other authority")
	}
}

func TestACloneBeginsWithTheDisksOfASnapshotAndAnIdentityOfItsOwn(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.write("old")
	r.takes(t, "first")
	r.write("new")

	c, request := r.clone(t, "copy", "first")
	if said := c.makes(t, request); said != "made from demo/first" {
		t.Errorf("said %q", said)
	}
	c.wantDisks(t, "old")
	c.wantMachines(t, "running", "running", "running", "running")
	if _, boots := c.counts(); boots != 3 {
		t.Errorf("%d machines booted, want all: their memory has the other cluster's keys", boots)
	}
	wantApart(t, r, c)
	status, err := c.client.Status(t.Context())
	if err != nil || status.Origin != "demo/first" || status.Name != "copy" {
		t.Errorf("%+v, %v", status, err)
	}
	// The first one continues, and its snapshot stays.
	r.wantDisks(t, "new")
	r.wantMachines(t, "running", "running", "running", "running")
	r.wantOnly(t, "first")

	// The clone is a cluster like any other.
	c.takes(t, "own")
	c.write("later")
	c.back(t, "own")
	c.wantDisks(t, "old")
	if err := r.client.Down(t.Context(), daemonapi.DownRequest{Snapshots: true}, ignore); err != nil {
		t.Fatal(err)
	}
	c.stoppedWith(t, daemonapi.StopRequest{Shutdown: true})
	c = c.again(t)
	up(t, c.client, c.spec)
	c.wantDisks(t, "old")

	d, again := c.clone(t, "copy-of-copy", "own")
	d.makes(t, again)
	wantApart(t, c, d)
	d.wantDisks(t, "old")
}

func TestACloneThatIsNotPossibleLeavesNothing(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.takes(t, "first")
	for name, test := range map[string]struct {
		change func(*cluster.CloneRequest)
		want   string
	}{
		"no such cluster":  {func(c *cluster.CloneRequest) { c.Origin.Cluster = "other" }, "first: no such snapshot"},
		"no such snapshot": {func(c *cluster.CloneRequest) { c.Origin.Snapshot = "second" }, "second: no such snapshot"},
		"an invalid name":  {func(c *cluster.CloneRequest) { c.Origin.Snapshot = "../first" }, "invalid name"},
		"other nodes":      {func(c *cluster.CloneRequest) { c.Spec.Workers = 7 }, "workers: 7 contradicts the snapshot, which has 2"},
		"another driver":   {func(c *cluster.CloneRequest) { c.Spec.Driver = "sandbox" }, "driver: sandbox contradicts the snapshot, which has lima"},
		"another cluster":  {func(c *cluster.CloneRequest) { c.Spec.Name = "third" }, "daemon of cluster copy, not third"},
	} {
		t.Run(name, func(t *testing.T) {
			c, request := r.clone(t, "copy", "first")
			test.change(&request)
			var failure *daemonapi.Failure
			err := c.client.Clone(t.Context(), request, ignore)
			if !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, test.want) || strings.Contains(failure.Cause, "\n") {
				t.Errorf("%v", err)
			}
			c.killed(t)
			if _, err := os.Stat(string(r.home.Cluster("copy"))); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("left: %v", err)
			}
		})
	}
	if _, err := os.Stat(string(r.home.Cluster("other"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of a cluster that does not exist: %v", err)
	}
	c, request := r.clone(t, "copy", "first")
	c.makes(t, request)
	var failure *daemonapi.Failure
	if err := c.client.Clone(t.Context(), request, ignore); !errors.As(err, &failure) || !failure.Invalid || failure.Cause != `cluster "copy" already exists` {
		t.Errorf("a second time: %v", err)
	}
	if _, exists, err := c.client.Cloned(request.Origin); !exists || err == nil {
		t.Errorf("exists %t, %v", exists, err)
	}
}

// TestAnInterruptionOfACloneAtEveryStepLeavesAllOfItOrNothing fails each call of the driver, as
// a daemon does that is killed there, and asks for the clone again.
func TestAnInterruptionOfACloneAtEveryStepLeavesAllOfItOrNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("many clusters")
	}
	for call, exists := range map[string]bool{
		"unpack control-plane-1": false, "unpack worker-2": false, "start control-plane-1": true, "start worker-2": true,
	} {
		for _, plain := range []bool{false, true} {
			if plain && !exists {
				continue // another cluster would be made
			}
			t.Run(call, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, shortHome(t), "demo")
				up(t, r.client, r.spec)
				r.write("old")
				r.takes(t, "first")
				c, request := r.clone(t, "copy", "first")
				c = c.interruptClone(t, request, call, exists)
				if plain {
					up(t, c.client, c.spec)
				} else {
					c.makes(t, request)
				}
				c.wantDisks(t, "old")
				c.wantMachines(t, "running", "running", "running", "running")
				wantApart(t, r, c)
				r.wantOnly(t, "first")
			})
		}
	}
}

// interruptClone ends the daemon of a clone at a call of the driver, and returns the rig with
// another daemon. exists is whether the clone must exist then.
func (r *rig) interruptClone(t *testing.T, request cluster.CloneRequest, call string, exists bool) *rig {
	t.Helper()
	before := r.interrupt(call, true)
	if err := r.client.Clone(t.Context(), request, ignore); err == nil {
		t.Error("the clone was made")
	}
	r.driver.Fail = before
	r.killed(t)
	dir := r.home.Cluster(r.spec.Name)
	if _, err := os.Stat(dir.State()); (err == nil) != exists {
		t.Errorf("the state: %v", err)
	}
	if left, err := filepath.Glob(dir.Restoring() + "*"); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
	return r.again(t)
}

// TestACloneContinuesToReplaceTheKeysAfterADaemonIsKilled lets the secrets refuse to be written.
func TestACloneContinuesToReplaceTheKeysAfterADaemonIsKilled(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.takes(t, "first")
	c, request := r.clone(t, "copy", "first")
	c.refuse = true
	c.makes(t, request)
	status, err := c.client.Status(t.Context())
	if err != nil || !slices.ContainsFunc(status.Notes, func(n string) bool { return strings.Contains(n, "encrypted with the key of demo") }) || len(status.Problems) > 0 {
		t.Errorf("notes %q, problems %q, %v", status.Notes, status.Problems, err)
	}
	// What a user asks for does not wait for it.
	c.takes(t, "own")
	c.stoppedWith(t, daemonapi.StopRequest{Shutdown: true})
	if ring := c.keyring(t); len(ring.Keys) != 2 {
		t.Errorf("%d keys", len(ring.Keys))
	}
	c.refuse = false
	c = c.again(t)
	up(t, c.client, c.spec)
	wantApart(t, r, c)
}

func TestTheSnapshotOfAClusterThatIsBeingClonedCannotBeRemoved(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.takes(t, "first")
	c, request := r.clone(t, "copy", "first")
	d, other := r.clone(t, "copy-2", "first")
	before := c.driver.Fail
	c.driver.Fail = func(call, name string) error {
		if call+" "+name == "unpack worker-1" {
			if err := r.client.RemoveSnapshot("first"); err == nil {
				t.Error("the snapshot was removed")
			}
			d.makes(t, other) // meanwhile
		}
		return before(call, name)
	}
	c.makes(t, request)
	if err := r.client.RemoveSnapshot("first"); err != nil {
		t.Error(err)
	}
	if _, err := r.client.SnapshotState("first"); err == nil {
		t.Error("there is a snapshot")
	}
	if _, err := client.New(client.Config{Home: r.home, Name: "nobody"}).SnapshotState("first"); err == nil {
		t.Error("a snapshot of no cluster")
	}
}
