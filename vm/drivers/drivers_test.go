package drivers_test

import (
	"testing"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/home"
)

func TestEveryEntryIsComplete(t *testing.T) {
	for _, e := range drivers.All() {
		if e.Name == "" || e.Summary == "" || e.Available == nil || e.Probe == nil || e.Open == nil || e.Cleanup == nil {
			t.Errorf("incomplete entry %+v", e)
		}
		if found, err := drivers.Find(e.Name); err != nil || found.Name != e.Name {
			t.Errorf("Find(%q): %q, %v", e.Name, found.Name, err)
		}
	}
	if _, err := drivers.Find("vmware"); err == nil {
		t.Error("an unknown driver was found")
	}
}

func TestTheDefaultClusterUsesTheFirstDriver(t *testing.T) {
	if got, want := cluster.Default().Driver, drivers.Names()[0]; got != want {
		t.Errorf("driver %q, want %q", got, want)
	}
}

func TestCleanupOfAClusterThatNeverRanDoesNothing(t *testing.T) {
	if err := drivers.Cleanup(home.Home(t.TempDir()).Cluster("demo")); err != nil {
		t.Error(err)
	}
}

func TestBestPrefersTheFastestAndThenTheFirst(t *testing.T) {
	for want, states := range map[string][2]drivers.State{
		"lima":    {drivers.Ready, drivers.Ready},
		"sandbox": {drivers.Slow, drivers.Ready},
		"":        {drivers.Unavailable, drivers.Unavailable},
	} {
		got := drivers.Best([]drivers.Facts{{Name: "lima", State: states[0]}, {Name: "sandbox", State: states[1]}})
		if got != want {
			t.Errorf("%v: %q, want %q", states, got, want)
		}
	}
	if got := drivers.Best([]drivers.Facts{{Name: "lima", State: drivers.Slow}, {Name: "sandbox", State: drivers.Unavailable}}); got != "lima" {
		t.Errorf("a slow driver and none: %q", got)
	}
}
