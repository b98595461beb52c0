package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestTheHostSleptIfItsClocksDisagree(t *testing.T) {
	for _, test := range []struct {
		wall, monotonic time.Duration
		want            bool
	}{
		{5 * time.Second, 5 * time.Second, false},
		{6 * time.Second, 5 * time.Second, false},
		{time.Hour, 5 * time.Second, true},
		{-time.Hour, 5 * time.Second, true},
	} {
		if got := slept(test.wall, test.monotonic); got != test.want {
			t.Errorf("slept(%s, %s) = %t", test.wall, test.monotonic, got)
		}
	}
}

func TestEveryListenerHearsAllEventsWithTheirSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := newOperation(workApply, nil)
		listen := func() chan []daemonapi.Event {
			heard := make(chan []daemonapi.Event, 1)
			go func() {
				var events []daemonapi.Event
				_ = op.listen(t.Context(), func(e daemonapi.Event) error {
					events = append(events, e)
					return nil
				})
				heard <- events
			}()
			return heard
		}
		early := listen()
		op.begin("worker-1", daemonapi.PhaseBoot, "")
		time.Sleep(3 * time.Second)
		op.end("worker-1", daemonapi.PhaseBoot, nil)
		op.begin("worker-2", daemonapi.PhaseBoot, "")
		time.Sleep(time.Second)
		op.end("worker-2", daemonapi.PhaseBoot, nil)
		op.finish(daemonapi.PhaseCluster, "", nil)
		late := listen()
		for _, heard := range []chan []daemonapi.Event{early, late} {
			events := <-heard
			if len(events) != 5 || events[1].Seconds != 3 || !events[4].Done {
				t.Errorf("heard %+v", events)
			}
		}
		timings := op.timings(time.Now())
		if timings.Phases["boot"] != 3 || timings.Nodes["worker-2"]["boot"] != 1 {
			t.Errorf("timings %+v", timings)
		}
	})
}

func TestAListenerMayLeave(t *testing.T) {
	op := newOperation(workApply, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := op.listen(ctx, func(daemonapi.Event) error { return nil }); err == nil {
		t.Error("listening goes on")
	}
}

func TestTheKeychainIsMadeOnceAndRenewedInTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	now := time.Now()
	first, err := openKeychain(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openKeychain(dir, now.Add(time.Hour))
	if err != nil || string(again.files["ca.key"]) != string(first.files["ca.key"]) || string(again.files["admin.crt"]) != string(first.files["admin.crt"]) {
		t.Errorf("opened again: other certificates, %v", err)
	}
	later, err := openKeychain(dir, now.Add(pki.LeafLifetime*3/4))
	if err != nil || string(later.files["ca.key"]) != string(first.files["ca.key"]) || string(later.files["admin.crt"]) == string(first.files["admin.crt"]) {
		t.Errorf("opened late: not renewed, %v", err)
	}
	for _, name := range []string{"ca.key", "admin.key", "etcd/ca.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	// Two processes renewed it at once.
	if err := os.WriteFile(filepath.Join(dir, "host.crt"), first.files["host.crt"], 0o600); err != nil {
		t.Fatal(err)
	}
	mended, err := openKeychain(dir, now)
	if err != nil || string(mended.files["host.crt"]) == string(first.files["host.crt"]) {
		t.Errorf("a certificate without its key stays: %v", err)
	}
}

func TestTheLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.log")
	out := &boundedFile{path: path}
	if err := out.open(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	line := []byte(strings.Repeat("x", maxLog/8) + "\n")
	for range 40 {
		if _, err := out.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{path, path + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() > maxLog {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
