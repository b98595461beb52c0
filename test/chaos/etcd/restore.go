package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/controlplane/server"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/restore"
)

const (
	// restores is how often a snapshot is restored, half of them during kills.
	restores = 4
	// restoreLimit bounds each wait of a restore.
	restoreLimit = time.Minute
	// afterSnapshot is an object that is not in the snapshot.
	afterSnapshot = "after-snapshot"
)

// restoreAll restores snapshots while members are killed, and checks that the
// members then have either the data of the snapshot or that from before.
func (a *arena) restoreAll(ctx context.Context, want map[string][]string) error {
	random := rand.New(rand.NewPCG(a.options.seed, 1)) //nolint:gosec // faults, not secrets
	for round := 1; round <= restores; round++ {
		began := time.Now()
		undone, err := a.restoreOnce(ctx, round%2 == 0, random)
		if err != nil {
			return fmt.Errorf("restore %d: %w", round, err)
		}
		got, err := a.readAll(ctx)
		if err != nil {
			return fmt.Errorf("restore %d: %w", round, err)
		}
		if !maps.EqualFunc(got, want, slices.Equal) {
			return fmt.Errorf("restore %d: the keys are %v, were %v", round, got, want)
		}
		fmt.Printf("restore %d: undone %v, whole again after %.1f s\n", round, undone, time.Since(began).Seconds())
	}
	return nil
}

// restoreOnce takes a snapshot, writes an object and restores the snapshot. It
// reports whether the restore was undone.
func (a *arena) restoreOnce(ctx context.Context, kill bool, random *rand.Rand) (undone bool, err error) {
	snapshot := filepath.Join(a.dir, "restore.db")
	var content bytes.Buffer
	if err := a.control(0).Snapshot(ctx, &content); err != nil {
		return false, err
	}
	if err := os.WriteFile(snapshot, content.Bytes(), 0o600); err != nil {
		return false, err
	}
	api, err := a.client(0)
	if err != nil {
		return false, err
	}
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: afterSnapshot}}
	if _, err := api.CoreV1().ConfigMaps(where).Create(ctx, object, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return false, err
	}
	supervised, stop := context.WithCancel(ctx)
	var supervisor sync.WaitGroup
	supervisor.Go(func() { a.supervise(supervised, kill, random) })
	err = a.restoration(snapshot).Run(ctx, fmt.Sprintf("restore-%d", random.Uint64()), "")
	stop()
	supervisor.Wait()
	if undone = errors.Is(err, restore.ErrUndone); err != nil && !undone {
		if err = a.recoverRestore(ctx, snapshot); err != nil {
			return false, err
		}
	}
	if err := a.heal(ctx); err != nil {
		return undone, err
	}
	for i := range members {
		api, err := a.client(i)
		if err != nil {
			return undone, err
		}
		_, err = api.CoreV1().ConfigMaps(where).Get(ctx, afterSnapshot, metav1.GetOptions{})
		if undone && err != nil || !undone && !apierrors.IsNotFound(err) {
			return undone, fmt.Errorf("member %d, an object written after the snapshot, undone %v: %w", i+1, undone, err)
		}
	}
	return undone, nil
}

// recoverRestore finishes a restore that the members' deaths interrupted after the
// first one served.
func (a *arena) recoverRestore(ctx context.Context, snapshot string) error {
	ctx, stop := context.WithTimeout(ctx, readyLimit)
	defer stop()
	var supervisor sync.WaitGroup
	supervisor.Go(func() { a.supervise(ctx, false, nil) })
	defer supervisor.Wait()
	defer stop()
	state, err := a.restoration(snapshot).Recover(ctx)
	if err == nil && !state.Finished() {
		err = errors.New("it was undone after it was reported as unfinished")
	}
	return err
}

// supervise restarts members that end, and kills some, until ctx ends.
func (a *arena) supervise(ctx context.Context, kill bool, random *rand.Rand) {
	for ctx.Err() == nil {
		for _, m := range a.all {
			if !m.runs() {
				if err := a.start(m); err != nil {
					fmt.Println(err)
				}
			}
		}
		if kill && random.IntN(10) == 0 {
			a.all[random.IntN(members)].kill()
		}
		_ = pause(ctx, 200*time.Millisecond)
	}
}

func (a *arena) restoration(snapshot string) *restore.Restore {
	r := &restore.Restore{File: filepath.Join(a.dir, "restore.json"), Snapshot: snapshot, Progress: silent{}, Limit: restoreLimit}
	for i, n := range a.nodes {
		r.Planes = append(r.Planes, restore.ControlPlane{Name: n.Name, API: a.control(i), Ready: func(ctx context.Context) error {
			api, err := a.client(i)
			if err == nil {
				_, err = api.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
			}
			return err
		}})
	}
	return r
}

// control returns a client of the control plane of member i.
func (a *arena) control(i int) controlapi.Client {
	return controlapi.Dial(server.Settings{PrivateDir: a.all[i].dir}.ControlSocket())
}

// silent records no progress.
type silent struct{}

func (silent) Begin(string, daemonapi.Phase, string)           {}
func (silent) End(string, daemonapi.Phase, *daemonapi.Failure) {}
