package server_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/controlplane/server/servertest"
)

// watcherOfSecrets writes secrets through one control plane and reads all of them
// from etcd, repeatedly, until it is stopped.
type watcherOfSecrets struct {
	stop   context.CancelFunc
	done   sync.WaitGroup
	reads  int
	failed error
}

func (c *cluster) watchSecrets(t *testing.T, name string) *watcherOfSecrets {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcherOfSecrets{stop: cancel}
	w.done.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			if err := c.writeAndReadSecrets(ctx, fmt.Sprintf("%s-%d", name, n)); err != nil && ctx.Err() == nil {
				w.failed = err
				return
			}
			w.reads++
		}
	})
	return w
}

func (c *cluster) writeAndReadSecrets(ctx context.Context, name string) error {
	secrets := c.client.CoreV1().Secrets("default")
	if _, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"k": name}}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	list, err := secrets.List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	for _, listed := range list.Items {
		// A read of one object goes to etcd.
		if _, err := secrets.Get(ctx, listed.Name, metav1.GetOptions{}); err != nil {
			return fmt.Errorf("read %s: %w", listed.Name, err)
		}
	}
	return nil
}

// rotate replaces the encryption key with the same decisions as the host, while every
// control plane writes and reads secrets.
func rotate(t *testing.T, dir string, all ...*cluster) {
	authorities, err := servertest.Authorities(dir)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := authorities.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	old := ring.Keys[0].Name
	var watchers []*watcherOfSecrets
	for i, c := range all {
		watchers = append(watchers, c.watchSecrets(t, fmt.Sprintf("rotated-%d", i+1)))
	}
	var moves []string
	for move := pki.Move(""); move != pki.MoveFinish; {
		move = ring.Next(look(t, ring, all))
		moves = append(moves, string(move))
		ring = carryOut(t, move, ring, all)
	}
	time.Sleep(2 * time.Second) // with the old key gone
	for i, w := range watchers {
		w.stop()
		w.done.Wait()
		t.Logf("control plane %d: %d rounds of writing and reading all", i+1, w.reads)
		if w.failed != nil || w.reads == 0 {
			t.Errorf("control plane %d: %v", i+1, w.failed)
		}
	}
	const want = "add distribute promote distribute rewrite remove distribute finish"
	if got := strings.Join(moves, " "); got != want {
		t.Errorf("moves: %s, not %s", got, want)
	}
	counts, err := all[0].control().SecretKeys(t.Context())
	if err != nil || counts[old] > 0 || counts[""] > 0 || counts[ring.Keys[0].Name] == 0 {
		t.Errorf("values in etcd by key: %v, %v", counts, err)
	}
	t.Logf("values in etcd by key: %v", counts)
	encoded, err := ring.Encode()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "authorities", pki.KeyringFile), encoded, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// look observes what the host observes before each decision.
func look(t *testing.T, ring pki.Keyring, all []*cluster) pki.Seen {
	t.Helper()
	seen := pki.Seen{Loaded: true}
	for _, c := range all {
		seen.Loaded = seen.Loaded && c.loaded(t, ring)
	}
	if ring.Phase != pki.PhasePromoted {
		return seen
	}
	counts, err := all[0].control().SecretKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, count := range counts {
		if name != ring.Keys[0].Name {
			seen.Stale += count
		}
	}
	return seen
}

func (c *cluster) loaded(t *testing.T, ring pki.Keyring) bool {
	t.Helper()
	keys, err := c.control().Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return keys.Loaded == fmt.Sprintf("%x", sha256.Sum256(ring.Configuration()))
}

func carryOut(t *testing.T, move pki.Move, ring pki.Keyring, all []*cluster) pki.Keyring {
	t.Helper()
	began := time.Now()
	defer func() { t.Logf("%-10s %s", move, time.Since(began).Round(time.Millisecond)) }()
	switch move {
	case pki.MoveAdd:
		ring, err := ring.Add()
		if err != nil {
			t.Fatal(err)
		}
		return ring
	case pki.MovePromote:
		return ring.Promote()
	case pki.MoveFinish:
		return ring.Finish()
	case pki.MoveDistribute:
		for _, c := range all {
			path := filepath.Join(c.settings.PKIDir, pki.EncryptionFile)
			if err := os.WriteFile(path+".new", ring.Configuration(), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range all {
			for !c.loaded(t, ring) {
				time.Sleep(50 * time.Millisecond)
			}
		}
	case pki.MoveRewrite:
		rewrite(t, all[len(all)-1])
	case pki.MoveRemove:
		if err := all[0].control().Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if _, err := c.client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		return ring.Remove()
	}
	return ring
}

func rewrite(t *testing.T, c *cluster) {
	t.Helper()
	list, err := c.client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Items {
		if _, err := c.client.CoreV1().Secrets(s.Namespace).Patch(t.Context(), s.Name, types.MergePatchType, []byte("{}"), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
