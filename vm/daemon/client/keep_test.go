package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/records"
)

// TestRecordsOutliveTheirClusterIfTheUserWantsIt deletes a running cluster and a stopped
// one, with and without their records.
func TestRecordsOutliveTheirClusterIfTheUserWantsIt(t *testing.T) {
	for name, stopped := range map[string]bool{"running": false, "stopped": true} {
		for _, keep := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				h := shortHome(t)
				r := newRig(t, h, "demo")
				if err := r.client.Apply(t.Context(), r.spec, ignore); err != nil {
					t.Fatal(err)
				}
				record := filepath.Join(h.Cluster("demo").Records(), "test", "record")
				if err := errors.Join(os.MkdirAll(filepath.Dir(record), 0o700), os.WriteFile(record, []byte("past"), 0o600)); err != nil {
					t.Fatal(err)
				}
				if stopped {
					if _, err := r.client.Stop(t.Context(), daemonapi.StopRequest{Shutdown: true}, ignore); err != nil {
						t.Fatal(err)
					}
				}
				if err := r.client.Down(t.Context(), daemonapi.DownRequest{KeepRecords: keep}, ignore); err != nil {
					t.Fatal(err)
				}
				if _, err := r.client.Status(t.Context()); !errors.Is(err, client.ErrNoCluster) {
					t.Errorf("status after down: %v", err)
				}
				kept, err := records.Find(h, "demo")
				if !keep {
					if !errors.Is(err, records.ErrNone) {
						t.Errorf("kept %+v, %v", kept, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if content, err := os.ReadFile(filepath.Join(kept.Directory, "test", "record")); err != nil || string(content) != "past" {
					t.Errorf("the record has %q, %v", content, err)
				}
			})
		}
	}
}
