package client_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/snapshot/snapshottest"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

var keyName = regexp.MustCompile(`name: (key\d+)`)

// loaded returns the keys that a control plane uses; the first one encrypts. The
// caller holds w.mu.
func (w *environment) loaded(node string) []string {
	var names []string
	for _, match := range keyName.FindAllSubmatch(w.documents[node].Files[pki.EncryptionFile], -1) {
		names = append(names, string(match[1]))
	}
	return names
}

// serveSecrets serves the API of one control plane for secrets.
func (w *environment) serveSecrets(mux *http.ServeMux, node string) {
	type object = map[string]any
	mux.HandleFunc("GET /api/v1/secrets", func(out http.ResponseWriter, _ *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		items := []object{}
		for name, key := range w.under {
			if key != "" && !slices.Contains(w.loaded(node), key) {
				http.Error(out, "no key for "+name, http.StatusInternalServerError)
				return
			}
			items = append(items, object{"metadata": object{"name": name, "namespace": "default"}})
		}
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(object{"kind": "SecretList", "apiVersion": "v1", "items": items})
	})
	mux.HandleFunc("PATCH /api/v1/namespaces/default/secrets/{name}", func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.refuse && r.PathValue("name") == "two" {
			http.Error(out, "a webhook refuses", http.StatusForbidden)
			return
		}
		w.under[r.PathValue("name")] = w.loaded(node)[0]
		out.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(out).Encode(object{"kind": "Secret", "apiVersion": "v1"})
	})
}

// rotate runs a rotation and returns the phases that ended and the result.
func (r *rig) rotate(t *testing.T) (phases []string, message string, err error) {
	t.Helper()
	err = r.client.RotateSecrets(t.Context(), func(e daemonapi.Event) {
		if e.State == daemonapi.StateDone && !e.Done {
			phases = append(phases, string(e.Phase))
		}
		if e.Done {
			message = e.Message
		}
	})
	return phases, message, err
}

// keyring reads the keyring in the cluster's directory.
func (r *rig) keyring(t *testing.T) pki.Keyring {
	t.Helper()
	path := filepath.Join(r.home.Cluster(r.spec.Name).PKI(), pki.KeyringFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("keyring: %v, %v", info, err)
	}
	ring, err := pki.Files{pki.KeyringFile: content}.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// settled fails the test unless all control planes know one key only and every
// secret is encrypted with it.
func (r *rig) settled(t *testing.T, key string) {
	t.Helper()
	ring := r.keyring(t)
	if len(ring.Keys) != 1 || ring.Keys[0].Name != key || ring.Phase != pki.PhaseSettled {
		t.Errorf("keyring after a rotation: %d keys, the first %s, phase %q", len(ring.Keys), ring.Keys[0].Name, ring.Phase)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, under := range r.under {
		if under != key {
			t.Errorf("secret %s is encrypted with %q", name, under)
		}
	}
	for name, document := range r.documents {
		if _, worker := document.Files[pki.EncryptionFile]; !strings.HasPrefix(name, "control-plane") {
			if worker || r.seeds[name] > 0 && r.inherited == nil {
				t.Errorf("%s was handed keys", name)
			}
			continue
		}
		if loaded := r.loaded(name); !slices.Equal(loaded, []string{key}) {
			t.Errorf("%s uses %v", name, loaded)
		}
		if r.seeds[name] == 0 {
			t.Errorf("%s would boot with outdated keys", name)
		}
	}
}

func TestRotateSecrets(t *testing.T) {
	r := newRig(t, shortHome(t), "rotate")
	r.spec.ControlPlanes = 3
	if _, _, err := r.rotate(t); err == nil {
		t.Fatal("the key of a stopped cluster was rotated")
	}
	if err := r.client.Apply(t.Context(), r.spec, func(daemonapi.Event) {}); err != nil {
		t.Fatal(err)
	}
	phases, message, err := r.rotate(t)
	if err != nil || strings.Join(phases, " ") != "add load promote load rewrite remove load" || message != "3 secrets are encrypted with key2" {
		t.Errorf("phases %v, %q, %v", phases, message, err)
	}
	r.settled(t, "key2")
	if retired := r.keyring(t).Retired; len(retired) != 1 || retired[0].Name != "key1" {
		t.Errorf("%d retired keys", len(retired))
	}

	// A snapshot from before the rotation needs the retired key.
	if err := r.restore(t, snapshottest.Snapshot(t)); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	if loaded := r.loaded("control-plane-3"); !slices.Equal(loaded, []string{"key2", "key1"}) {
		t.Errorf("after readmission %v", loaded)
	}
	r.under["one"] = "key1"
	r.mu.Unlock()
	if _, _, err := r.rotate(t); err != nil {
		t.Fatal(err)
	}
	r.settled(t, "key2")
}

func TestAnInterruptedRotationContinues(t *testing.T) {
	r := newRig(t, shortHome(t), "again")
	if err := r.client.Apply(t.Context(), r.spec, func(daemonapi.Event) {}); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.refuse = true
	r.mu.Unlock()
	_, _, err := r.rotate(t)
	var failure *daemonapi.Failure
	if !errors.As(err, &failure) || !strings.Contains(failure.Cause, "default/two") || !strings.Contains(failure.Hint, "skiff secrets rotate") {
		t.Errorf("a secret that cannot be written: %+v", err)
	}
	if ring := r.keyring(t); len(ring.Keys) != 2 || ring.Keys[0].Name != "key2" || ring.Phase != pki.PhasePromoted {
		t.Errorf("the old key was removed while it still encrypts secrets: %+v", ring.Phase)
	}
	status, err := r.client.Status(t.Context())
	if err != nil || len(status.Problems) != 1 || !strings.Contains(status.Problems[0], "skiff secrets rotate") {
		t.Errorf("problems %v, %v", status.Problems, err)
	}
	r.mu.Lock()
	r.refuse = false
	r.mu.Unlock()
	phases, _, err := r.rotate(t)
	if err != nil || strings.Join(phases, " ") != "rewrite remove load" {
		t.Errorf("continues with %v, %v", phases, err)
	}
	r.settled(t, "key2")
	if status, err := r.client.Status(t.Context()); err != nil || len(status.Problems) > 0 {
		t.Errorf("problems %v, %v", status.Problems, err)
	}
	r.driver.End("control-plane-1", "")
	if _, _, err := r.rotate(t); !errors.As(err, &failure) || !strings.Contains(failure.Hint, "skiff up") {
		t.Errorf("without a control plane: %+v", err)
	}
	if len(r.keyring(t).Keys) != 1 {
		t.Error("a rotation began without a control plane")
	}
}

func TestRotateSecretsNeedsADaemon(t *testing.T) {
	c := client.New(client.Config{Home: shortHome(t), Name: "none"})
	if err := c.RotateSecrets(t.Context(), func(daemonapi.Event) {}); !errors.Is(err, client.ErrNoDaemon) {
		t.Error(err)
	}
}
