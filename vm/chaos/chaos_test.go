package chaos

import (
	"errors"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/network/impair"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// nodes are those of a cluster with three control planes and workers in three zones.
func nodes(planes int) []cluster.Node {
	spec := cluster.Default()
	spec.ControlPlanes, spec.Workers, spec.Zones = planes, 3, 3
	return cluster.Nodes(spec, nil)
}

func request(kind daemonapi.FaultKind, names ...string) daemonapi.FaultRequest {
	return daemonapi.FaultRequest{Kind: kind, Nodes: names, Seconds: 30}
}

func TestFaultNamesItsNodesAndItsEnd(t *testing.T) {
	zone := daemonapi.FaultRequest{Kind: daemonapi.FaultPartition, Zones: []string{"local-b"}, Nodes: []string{"worker-1"}, Seconds: 60}
	fault, err := New(zone, nodes(3), []daemonapi.Fault{{ID: "partition-1", Kind: daemonapi.FaultPartition}, {ID: "partition-3"}}, Host{}, now)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"control-plane-2", "worker-1", "worker-2"}; !slices.Equal(fault.Nodes, want) {
		t.Errorf("nodes %v, want %v", fault.Nodes, want)
	}
	if live, err := New(zone, nodes(3), nil, Host{}, time.Now()); err != nil || live.Until != live.Until.Round(0) || live.Began != live.Began.Round(0) {
		t.Errorf("its times stand still while the host sleeps: %+v, %v", live, err)
	}
	if fault.ID != "partition-2" || !fault.Until.Equal(now.Add(time.Minute)) || fault.Warning != "" {
		t.Errorf("%+v", fault)
	}
	if got := fault.Summary(now.Add(18 * time.Second)); got != "partition-2: control-plane-2, worker-1, worker-2 (cut off), 42s left" {
		t.Errorf("summary %q", got)
	}
}

func TestRequestsAreRefusedWithWhatToDo(t *testing.T) {
	with := func(kind daemonapi.FaultKind, p daemonapi.FaultParameters) daemonapi.FaultRequest {
		r := request(kind, "worker-1")
		r.FaultParameters = p
		return r
	}
	long := func(seconds float64) daemonapi.FaultRequest {
		r := request(daemonapi.FaultKill, "worker-1")
		r.Seconds = seconds
		return r
	}
	full := slices.Repeat([]daemonapi.Fault{{ID: "loss-1", Kind: daemonapi.FaultLoss}}, maxFaults)
	paused := []daemonapi.Fault{{ID: "pause-1", Kind: daemonapi.FaultPause, Nodes: []string{"worker-1"}}}
	for _, c := range []struct {
		request daemonapi.FaultRequest
		active  []daemonapi.Fault
		host    Host
		want    string
	}{
		{request(daemonapi.FaultKill), nil, Host{}, "name at least one node: choose from control-plane-1"},
		{request(daemonapi.FaultKill, "worker"), nil, Host{}, `no node named "worker": did you mean "worker-1"?`},
		{request(daemonapi.FaultKill, "x"), nil, Host{}, `no node named "x": choose from control-plane-1, `},
		{daemonapi.FaultRequest{Kind: daemonapi.FaultKill, Zones: []string{"b"}, Seconds: 1}, nil, Host{}, `no zone named "b": choose from local-a, local-b, local-c`},
		{request("", "worker-1"), nil, Host{}, "choose from kill, pause, partition, latency, loss, bandwidth, clock, disk-full"},
		{long(0), nil, Host{}, "a fault lasts 1s to 24h0m0s: 0s is out of range"},
		{long(-5), nil, Host{}, "-5s is out of range"},
		{long(1e300), nil, Host{}, "1e+300 s is out of range"},
		{long(math.NaN()), nil, Host{}, "out of range"},
		{request(daemonapi.FaultLatency, "worker-1"), nil, Host{}, "invalid delay of 0 ms: it must be between 1ms and 10s"},
		{with(daemonapi.FaultLatency, daemonapi.FaultParameters{DelayMilliseconds: 10001}), nil, Host{}, "invalid delay"},
		{request(daemonapi.FaultLoss, "worker-1"), nil, Host{}, "invalid loss of 0%"},
		{with(daemonapi.FaultLoss, daemonapi.FaultParameters{LossPercent: 101}), nil, Host{}, "at most 100"},
		{with(daemonapi.FaultLoss, daemonapi.FaultParameters{LossPercent: math.NaN()}), nil, Host{}, "invalid loss"},
		{request(daemonapi.FaultBandwidth, "worker-1"), nil, Host{}, "invalid rate 0bit: it must be at least 1kbit"},
		{request(daemonapi.FaultClock, "worker-1"), nil, Host{}, "it must not be 0"},
		{with(daemonapi.FaultClock, daemonapi.FaultParameters{OffsetSeconds: 1e12}), nil, Host{}, "invalid offset"},
		{with(daemonapi.FaultKill, daemonapi.FaultParameters{LossPercent: 5}), nil, Host{}, "does not have these parameters"},
		{with(daemonapi.FaultClock, daemonapi.FaultParameters{OffsetSeconds: 5}), nil, Host{Shared: true}, "share this host's clock"},
		{request(daemonapi.FaultDiskFull, "worker-1"), nil, Host{Shared: true}, "share this host's file system"},
		{request(daemonapi.FaultPartition, "worker-1"), nil, Host{NoLinks: true}, "cannot impair the nodes' network"},
		{request(daemonapi.FaultPartition, "worker-1"), full, Host{}, "64 faults are active"},
		{request(daemonapi.FaultPause, "worker-1"), paused, Host{}, "worker-1 has the fault pause-1 already: end it first with `skiff chaos clear pause-1`"},
		{request(daemonapi.FaultDiskFull, "worker-1"), paused, Host{}, "pause-1"},
	} {
		_, err := New(c.request, nodes(1), c.active, c.host, now)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want %q", c.request, err, c.want)
		}
	}
	for _, kind := range []daemonapi.FaultKind{daemonapi.FaultPartition} {
		if _, err := New(request(kind, "worker-1"), nodes(1), paused, Host{}, now); err != nil {
			t.Errorf("%s beside a pause: %v", kind, err)
		}
	}
}

func TestLossOfTheMajorityIsAnnounced(t *testing.T) {
	killed := func(names ...string) []daemonapi.Fault {
		return []daemonapi.Fault{{ID: "kill-1", Kind: daemonapi.FaultKill, Nodes: names}}
	}
	for what, c := range map[string]struct {
		planes  int
		active  []daemonapi.Fault
		request daemonapi.FaultRequest
		want    string
	}{
		"a worker":                  {1, nil, request(daemonapi.FaultKill, "worker-1"), ""},
		"the only one":              {1, nil, request(daemonapi.FaultPause, "control-plane-1"), "the only control plane is affected"},
		"a slow one":                {1, nil, daemonapi.FaultRequest{Kind: daemonapi.FaultLatency, Nodes: []string{"control-plane-1"}, Seconds: 1, FaultParameters: daemonapi.FaultParameters{DelayMilliseconds: 1}}, ""},
		"one of three":              {3, nil, request(daemonapi.FaultPartition, "control-plane-1"), ""},
		"one of three after a zone": {3, killed("control-plane-2", "worker-2"), request(daemonapi.FaultPartition, "control-plane-1"), "2 of 3 control planes are affected"},
		"the same one twice":        {3, killed("control-plane-1"), request(daemonapi.FaultPartition, "control-plane-1"), ""},
	} {
		fault, err := New(c.request, nodes(c.planes), c.active, Host{}, now)
		if err != nil || c.want == "" && fault.Warning != "" || !strings.Contains(fault.Warning, c.want) {
			t.Errorf("%s: %q, %v, want %q", what, fault.Warning, err, c.want)
		}
	}
}

func TestLinksHaveTheWorstOfTheFaults(t *testing.T) {
	fault := func(kind daemonapi.FaultKind, p daemonapi.FaultParameters, names ...string) daemonapi.Fault {
		return daemonapi.Fault{Kind: kind, Nodes: names, FaultParameters: p}
	}
	one, two := netip.MustParseAddr("192.168.104.21"), netip.MustParseAddr("192.168.104.22")
	got := Links(nodes(1), []daemonapi.Fault{
		fault(daemonapi.FaultKill, daemonapi.FaultParameters{}, "control-plane-1"),
		fault(daemonapi.FaultPartition, daemonapi.FaultParameters{}, "worker-1", "worker-2"),
		fault(daemonapi.FaultLatency, daemonapi.FaultParameters{DelayMilliseconds: 50}, "worker-1"),
		fault(daemonapi.FaultPartition, daemonapi.FaultParameters{}, "worker-1", "gone-1"),
		fault(daemonapi.FaultLoss, daemonapi.FaultParameters{LossPercent: 25}, "worker-1"),
		fault(daemonapi.FaultBandwidth, daemonapi.FaultParameters{BitsPerSecond: 1000}, "worker-2"),
	})
	want := impair.Links{
		one: {Cuts: 3, Delay: 50 * time.Millisecond, Loss: 0.25},
		two: {Cuts: 1, BitsPerSecond: 1000},
	}
	if len(got) != 2 || got[one] != want[one] || got[two] != want[two] {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFaultsAreDueAtTheirEnd(t *testing.T) {
	at := func(id string, after time.Duration) daemonapi.Fault {
		return daemonapi.Fault{ID: id, Until: now.Add(after)}
	}
	over, next := Due([]daemonapi.Fault{at("a", time.Minute), at("b", 0), at("c", time.Second), at("d", -time.Hour)}, now)
	if len(over) != 2 || over[0].ID != "b" || over[1].ID != "d" || !next.Equal(now.Add(time.Second)) {
		t.Errorf("over %+v, next %s", over, next)
	}
	if _, next := Due(nil, now); !next.IsZero() {
		t.Errorf("next %s without faults", next)
	}
}

func TestRecordIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults.json")
	fault, err := New(daemonapi.FaultRequest{Kind: daemonapi.FaultClock, Nodes: []string{"worker-1"}, Seconds: 5, FaultParameters: daemonapi.FaultParameters{OffsetSeconds: -3}}, nodes(1), nil, Host{}, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []daemonapi.Fault{fault}); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil || len(got) != 1 || got[0].ID != "clock-1" || got[0].OffsetSeconds != -3 || !got[0].Until.Equal(fault.Until) {
		t.Errorf("read %+v, %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil {
		t.Error("a damaged record is read")
	}
	for range 2 {
		if err := Write(path, nil); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the last fault: %v", err)
	}
	if got, err := Read(path); got != nil || err != nil {
		t.Errorf("without a file: %v, %v", got, err)
	}
}
