package fleet

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/cloud"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/driver/fake"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
)

// newTestProvider returns the cloud of a cluster of one control plane and two workers
// in two zones, and its driver, which has no machine yet.
func newTestProvider(t *testing.T) (*provider, *fake.Driver) {
	t.Helper()
	dir := home.Cluster(t.TempDir())
	creds, err := credentials.OpenStore(filepath.Join(string(dir), "pki"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	spec := cluster.Default()
	spec.Zones = 2
	driver := &fake.Driver{}
	p, err := newProvider(prepared(t, dir, creds, spec, driver).core, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p, driver
}

func TestCloudKnowsMachinesAndTheirStates(t *testing.T) {
	p, driver := newTestProvider(t)
	worker, _ := p.state.current().Find("worker-2")
	spec := machine.Machine{Name: worker.Name, Address: worker.Address, MAC: worker.MAC}
	want := func(when string, exists, shutdown bool) {
		t.Helper()
		got, err := p.Instance(t.Context(), worker.Name)
		if exists != (err == nil) || err != nil && !errors.Is(err, cloud.ErrNotFound) || got.Shutdown != shutdown {
			t.Errorf("%s: %+v, %v", when, got, err)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want("not created", true, true)
	do(driver.Create(t.Context(), spec))
	want("created", true, true)
	do(driver.Start(t.Context(), spec))
	want("running", true, false)
	got, err := p.Instance(t.Context(), worker.Name)
	if err != nil || got.ProviderID != "skiff://skiff/worker-2" || got.Type != "lima-2cpu-2Gi" ||
		got.Region != "local" || got.Zone != "local-b" || got.Address != netip.MustParseAddr("192.168.104.22") {
		t.Errorf("instance %+v, %v", got, err)
	}
	do(driver.Pause(t.Context(), worker.Name))
	want("paused", true, false)
	do(driver.Resume(t.Context(), worker.Name))
	do(driver.Stop(t.Context(), worker.Name))
	want("stopped", true, true)
	do(p.state.change(func(s *cluster.State) { s.Spec.Workers = 1 }))
	want("no longer desired", true, true)
	do(driver.Delete(t.Context(), worker.Name))
	want("removed", false, false)
	do(p.state.change(func(s *cluster.State) { s.Machines = cluster.Remember(nil, s.Spec) }))
	want("forgotten", false, false)
	for _, unknown := range []string{"worker-9", "other", ""} {
		if _, err := p.Instance(t.Context(), unknown); !errors.Is(err, cloud.ErrNotFound) {
			t.Errorf("%q: %v", unknown, err)
		}
	}
}

func TestCloudAdmitsControlPlanesOnly(t *testing.T) {
	p, _ := newTestProvider(t)
	first, other := netip.MustParseAddr("192.168.104.11"), netip.MustParseAddr("192.168.104.21")
	for _, test := range []struct {
		name    string
		address netip.Addr
		want    bool
	}{
		{"control-plane-1", first, true},
		{"control-plane-1", other, false},
		{"worker-1", other, false},
		{"worker-1", first, false},
		{"control-plane-2", netip.MustParseAddr("192.168.104.12"), false}, // not of this cluster
	} {
		if got := p.Admits(test.name, test.address); got != test.want {
			t.Errorf("%s at %s: %v", test.name, test.address, got)
		}
	}
}
