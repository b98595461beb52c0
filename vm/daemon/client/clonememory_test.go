package client_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// cloneMemory is clone for a clone whose machines continue with the memory in the snapshot.
func (r *rig) cloneMemory(t *testing.T, name, snapshot string) (*rig, cluster.CloneRequest) {
	t.Helper()
	c, request := r.clone(t, name, snapshot)
	r.mu.Lock()
	c.inherited = maps.Clone(r.documents)
	r.mu.Unlock()
	c.programs = newPrograms(t.TempDir() + ":0")
	request.Memory = true
	return c, request
}

// parts waits until a clone has replaced all that it shares.
func (r *rig) parts(t *testing.T) {
	t.Helper()
	for dir := r.home.Cluster(r.spec.Name); ; {
		state, err := cluster.ReadState(dir.State())
		if err != nil {
			t.Fatal(err)
		}
		if !state.Shared() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// wantParted fails the test unless a clone with memory ends up with an identity of its own.
func wantParted(t *testing.T, a, b *rig) {
	t.Helper()
	b.parts(t)
	wantApart(t, a, b)
	if _, err := os.Stat(filepath.Join(b.home.Cluster(b.spec.Name).PKI(), pki.RotationFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the rotation: %v", err)
	}
	status, err := b.client.Status(t.Context())
	if err != nil || len(status.Notes) > 0 {
		t.Errorf("notes %q, %v", status.Notes, err)
	}
	a.mu.Lock()
	theirs := maps.Clone(a.documents)
	a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, document := range b.documents {
		if document.Cluster != b.spec.Name {
			t.Errorf("%s is a node of %s", name, document.Cluster)
		}
		for path, content := range document.Files {
			if path != "components.json" && path != pki.EncryptionFile && string(content) == string(theirs[name].Files[path]) {
				t.Errorf("%s has %s of the other cluster", name, path)
			}
		}
	}
}

// wantUser fails the test unless the cluster accepts a user.
func wantUser(t *testing.T, r *rig, kubeconfig []byte) {
	t.Helper()
	user, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if authority := r.pki(t)["ca.crt"]; !pki.IssuedBy(user.CertData, authority) || !strings.Contains(string(user.CAData), string(authority)) {
		t.Error("the kubeconfig from before is not valid")
	}
}

func TestACloneWithMemoryContinuesAndReplacesAllThatItShares(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.takes(t, "first")
	c, request := r.cloneMemory(t, "copy", "first")
	c.refuse = true // secrets cannot be written, so nothing else is replaced yet
	if said := c.makes(t, request); said != "made from demo/first" {
		t.Errorf("said %q", said)
	}
	if _, boots := c.counts(); boots != 0 {
		t.Errorf("%d machines booted", boots)
	}
	status, err := c.client.Status(t.Context())
	if err != nil || len(status.Notes) != 1 || !strings.Contains(status.Notes[0], "shared with demo") || len(status.Problems) > 0 {
		t.Errorf("notes %q, problems %q, %v", status.Notes, status.Problems, err)
	}
	if a, b := r.pki(t), c.pki(t); string(a["ca.key"]) != string(b["ca.key"]) || string(a["admin.key"]) == string(b["admin.key"]) {
		t.Error("the clone does not begin with the authorities of the other cluster, and certificates of its own")
	}
	// What users get is valid to the end.
	kubeconfig, err := c.client.Kubeconfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	if len(c.random) != 3 || c.random[0] == c.random[1] {
		t.Errorf("%d nodes have random bytes", len(c.random))
	}
	c.refuse = false
	c.mu.Unlock()
	c.saved(t)
	if status, err = c.client.Status(t.Context()); err != nil || len(status.Notes) != 1 || !strings.Contains(status.Notes[0], "shared with demo") {
		t.Errorf("stopped: notes %q, %v", status.Notes, err)
	}
	c = c.again(t)
	up(t, c.client, c.spec)
	wantParted(t, r, c)
	if _, boots := c.counts(); boots != 0 {
		t.Errorf("%d machines booted", boots)
	}
	wantUser(t, c, kubeconfig)

	// It boots as itself.
	c.stoppedWith(t, daemonapi.StopRequest{Shutdown: true})
	c = c.again(t)
	up(t, c.client, c.spec)
	wantParted(t, r, c)
	r.wantMachines(t, "running", "running", "running", "running")
}

// TestAnInterruptionOfACloneWithMemoryLeavesAllOfItOrNothing is
// TestAnInterruptionOfACloneAtEveryStepLeavesAllOfItOrNothing for a clone with memory. Machines
// that ran when the daemon was killed boot, and join while the authorities are replaced.
func TestAnInterruptionOfACloneWithMemoryLeavesAllOfItOrNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("many clusters")
	}
	for call, exists := range map[string]bool{
		"unpack control-plane-1": false, "unpack worker-2": false, "wake control-plane-1": true, "wake worker-2": true,
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, shortHome(t), "demo")
			up(t, r.client, r.spec)
			r.write("old")
			r.takes(t, "first")
			c, request := r.cloneMemory(t, "copy", "first")
			c = c.interruptClone(t, request, call, exists)
			if exists {
				up(t, c.client, c.spec)
			} else {
				c.makes(t, request)
			}
			c.wantDisks(t, "old")
			c.wantMachines(t, "running", "running", "running", "running")
			wantParted(t, r, c)
			r.wantOnly(t, "first")
		})
	}
}

// TestACloneWithMemoryContinuesToReplaceWhatItShares ends the daemon when it has given nodes files
// so many times, which it does in every phase.
func TestACloneWithMemoryContinuesToReplaceWhatItShares(t *testing.T) {
	if testing.Short() {
		t.Skip("many clusters")
	}
	for _, number := range []int{1, 3, 4, 5, 7, 9} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, shortHome(t), "demo")
			up(t, r.client, r.spec)
			r.takes(t, "first")
			c, request := r.cloneMemory(t, "copy", "first")
			var calls atomic.Int32
			before := c.driver.Fail
			reached := make(chan struct{})
			c.driver.Fail = func(call, name string) error {
				if call == "reseed" && int(calls.Add(1)) >= number {
					if int(calls.Load()) == number {
						close(reached)
					}
					return errors.New("the daemon is being killed")
				}
				return before(call, name)
			}
			c.makes(t, request)
			<-reached
			c.killed(t)
			c.driver.Fail = before
			c = c.again(t)
			up(t, c.client, c.spec)
			wantParted(t, r, c)
		})
	}
}

func TestACloneSharesCredentialsUntilItsProgramsHaveRestarted(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.takes(t, "first")
	c, request := r.cloneMemory(t, "copy", "first")
	c.programs.broken.Store(true)
	c.makes(t, request)
	for {
		if _, err := os.Stat(filepath.Join(c.home.Cluster("copy").PKI(), pki.RotationFile)); errors.Is(err, fs.ErrNotExist) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	status, err := c.client.Status(t.Context())
	if err != nil || len(status.Notes) != 1 || len(status.Problems) > 0 {
		t.Errorf("notes %q, problems %q, %v", status.Notes, status.Problems, err)
	}
	c.saved(t)
	c.programs.broken.Store(false)
	c = c.again(t)
	up(t, c.client, c.spec)
	wantParted(t, r, c)
}

func TestMachinesOfACloneBootIfTheirMemoryCannotBeUsed(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(*rig)
		boots   int
		want    string
	}{
		"damaged": {func(c *rig) {
			before := c.driver.Fail
			c.driver.Fail = func(call, name string) error {
				if call+" "+name == "wake worker-1" {
					c.driver.Damage(name)
				}
				return before(call, name)
			}
		}, 1, "its saved memory was not used: the checksum is wrong; booted instead"},
		"an earlier release": {func(c *rig) { c.earlier = true }, 3, "its saved memory was not used: the node did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, shortHome(t), "demo")
			up(t, r.client, r.spec)
			r.takes(t, "first")
			c, request := r.cloneMemory(t, "copy", "first")
			test.prepare(c)
			var said []string
			if err := c.client.Clone(t.Context(), request, func(e daemonapi.Event) { said = append(said, e.Message) }); err != nil {
				t.Fatal(err)
			}
			if _, boots := c.counts(); boots != test.boots || !strings.Contains(strings.Join(said, "\n"), test.want) {
				t.Errorf("%d machines booted, said %q", boots, said)
			}
			wantParted(t, r, c)
		})
	}
}

func TestACloneWithMemoryThatIsNotPossibleLeavesNothing(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.takes(t, "first")
	r.driver.NoMemory = errors.New("it shares folders")
	r.takes(t, "without")
	wantRefused := func(snapshot, want string) {
		t.Helper()
		c, request := r.cloneMemory(t, "copy", snapshot)
		var failure *daemonapi.Failure
		err := c.client.Clone(t.Context(), request, ignore)
		if !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, want) || strings.Contains(failure.Cause, "\n") {
			t.Errorf("%v", err)
		}
		c.killed(t)
		if _, err := os.Stat(string(r.home.Cluster("copy"))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("left: %v", err)
		}
	}
	wantRefused("without", "does not have the memory of all machines")
	if _, _, err := r.rotateAuthorities(t, daemonapi.RotateAuthorities{Only: hostSide, Prepare: true}); err != nil {
		t.Fatal(err)
	}
	wantRefused("first", "its authorities are being replaced")
}
