package client_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// describe returns what a node reports about its files.
func describe(files pki.Files) (certificates []nodeapi.Certificate, trust map[string]string) {
	trust = map[string]string{}
	leaves := map[string]bool{}
	for _, leaf := range files.Leaves() {
		leaves[leaf.Name] = true
		certificates = append(certificates, nodeapi.Certificate{Name: leaf.Name, Expires: leaf.Expires, Issuer: leaf.Issuer})
	}
	for at, content := range files {
		extension := path.Ext(at)
		if slices.Contains([]string{".crt", ".key", ".pub"}, extension) && !leaves[strings.TrimSuffix(at, extension)] {
			sum := sha256.Sum256(content)
			trust[at] = hex.EncodeToString(sum[:])
		}
	}
	return certificates, trust
}

// hostSide are the authorities that concern the host and the nodes only.
var hostSide = []string{"host-ca", "cloud-ca"}

// rotateAuthorities returns the phases that ended and the result.
func (r *rig) rotateAuthorities(t *testing.T, request daemonapi.RotateAuthorities) (phases []string, message string, err error) {
	t.Helper()
	err = r.client.RotateAuthorities(t.Context(), request, func(e daemonapi.Event) {
		if e.State == daemonapi.StateDone && !e.Done {
			phases = append(phases, string(e.Phase))
		}
		if e.Done {
			message = e.Message
		}
	})
	return phases, message, err
}

// authority returns the key ID of the authority that signs, and how many are trusted.
func (r *rig) authority(t *testing.T, name string) (id string, trusted int) {
	t.Helper()
	described, err := r.client.PKI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range described.Authorities {
		if a.Name != name {
			continue
		}
		trusted++
		if a.Signs {
			id = a.ID
		}
	}
	return id, trusted
}

// replaced fails the test unless every certificate is signed by an authority that is trusted
// and current, and nodes boot with the same.
func (r *rig) replaced(t *testing.T, before string) {
	t.Helper()
	after, trusted := r.authority(t, "host-ca")
	if after == before || trusted != 1 {
		t.Errorf("the authority is another one: %t, trusted: %d", after != before, trusted)
	}
	described, err := r.client.PKI(t.Context())
	if err != nil || described.Rotation != nil {
		t.Fatalf("%+v, %v", described.Rotation, err)
	}
	seen := 0
	for _, c := range described.Certificates {
		if c.Generation != "current" {
			t.Errorf("%+v", c)
		}
		if c.Name == "node-api" {
			seen++
		}
	}
	if seen != len(r.documents) {
		t.Errorf("%d nodes answer, want %d", seen, len(r.documents))
	}
	if _, err := os.Stat(filepath.Join(r.home.Cluster(r.spec.Name).PKI(), pki.RotationFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state of the rotation: %v", err)
	}
}

func TestRotateAuthorities(t *testing.T) {
	r := newRig(t, shortHome(t), "authorities")
	r.spec.ControlPlanes = 3
	request := daemonapi.RotateAuthorities{Only: hostSide}
	if _, _, err := r.rotateAuthorities(t, request); err == nil {
		t.Fatal("the authorities of a stopped cluster were replaced")
	}
	if err := r.client.Apply(t.Context(), r.spec, func(daemonapi.Event) {}); err != nil {
		t.Fatal(err)
	}
	before, _ := r.authority(t, "host-ca")

	request.Prepare = true
	phases, message, err := r.rotateAuthorities(t, request)
	if err != nil || strings.Join(phases, " ") != "trust" || !strings.Contains(message, "skiff pki rotate") {
		t.Fatalf("prepared: phases %v, %q, %v", phases, message, err)
	}
	if id, trusted := r.authority(t, "host-ca"); id != before || trusted != 2 {
		t.Errorf("prepared: another signs: %t, trusted: %d", id != before, trusted)
	}
	status, err := r.client.Status(t.Context())
	if err != nil || len(status.Problems) != 1 || !strings.Contains(status.Problems[0], "skiff pki rotate") {
		t.Errorf("problems %v, %v", status.Problems, err)
	}
	var failure *daemonapi.Failure
	if _, _, err := r.rotateAuthorities(t, daemonapi.RotateAuthorities{Only: []string{"cloud-ca"}}); !errors.As(err, &failure) || !failure.Invalid {
		t.Errorf("another rotation: %v", err)
	}
	// A node that joins now trusts both.
	r.spec.Workers++
	if err := r.client.Apply(t.Context(), r.spec, func(daemonapi.Event) {}); err != nil {
		t.Fatal(err)
	}
	phases, _, err = r.rotateAuthorities(t, daemonapi.RotateAuthorities{})
	if err != nil || strings.Join(phases, " ") != "trust issue distrust forget" {
		t.Errorf("continued: phases %v, %v", phases, err)
	}
	r.replaced(t, before)
	r.mu.Lock()
	for name := range r.documents {
		if r.seeds[name] == 0 {
			t.Errorf("%s would boot with outdated files", name)
		}
	}
	r.mu.Unlock()
	if status, err := r.client.Status(t.Context()); err != nil || len(status.Problems) > 0 {
		t.Errorf("problems %v, %v", status.Problems, err)
	}
}

func TestARotationOfAuthoritiesSurvivesNodesThatFail(t *testing.T) {
	r := newRig(t, shortHome(t), "failing")
	if err := r.client.Apply(t.Context(), r.spec, func(daemonapi.Event) {}); err != nil {
		t.Fatal(err)
	}
	for refused := 1; refused <= 5; refused += 2 {
		before, _ := r.authority(t, "host-ca")
		r.mu.Lock()
		r.refuseFiles = refused
		r.mu.Unlock()
		if _, _, err := r.rotateAuthorities(t, daemonapi.RotateAuthorities{Only: hostSide}); err != nil {
			t.Errorf("a node refuses the files of request %d: %v", refused, err)
		}
		r.replaced(t, before)
	}
}

// The daemon may end at the beginning of each phase, and the cluster starts again.
func TestAnInterruptedRotationOfAuthoritiesContinues(t *testing.T) {
	for _, phase := range []daemonapi.Phase{daemonapi.PhaseTrust, daemonapi.PhaseIssue, daemonapi.PhaseDistrust, daemonapi.PhaseForget} {
		t.Run(string(phase), func(t *testing.T) {
			r := newRig(t, shortHome(t), "again")
			if err := r.client.Apply(t.Context(), r.spec, func(daemonapi.Event) {}); err != nil {
				t.Fatal(err)
			}
			before, _ := r.authority(t, "host-ca")
			err := r.client.RotateAuthorities(t.Context(), daemonapi.RotateAuthorities{Only: hostSide}, func(e daemonapi.Event) {
				if e.Phase == phase && e.State == daemonapi.StateRunning {
					r.stop()
				}
			})
			t.Logf("the rotation ended with %v", err)
			ended := <-r.ended
			r.ended <- ended // for the clean-up
			r = startRig(t, r.environment, r.home, r.spec, r.images)
			if err := r.client.Apply(t.Context(), r.spec, func(daemonapi.Event) {}); err != nil {
				t.Fatal(err)
			}
			if id, _ := r.authority(t, "host-ca"); err != nil || id == before {
				if _, _, err := r.rotateAuthorities(t, daemonapi.RotateAuthorities{Only: nil}); err != nil {
					t.Fatal(err)
				}
			}
			r.replaced(t, before)
		})
	}
}
