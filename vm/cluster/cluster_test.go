package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

var roomy = Host{CPUs: 8, MemoryMiB: 32 << 10, DiskFreeMiB: 100 << 10, Drivers: []string{"lima", "sandbox"}}

func with(change func(*Spec)) Spec {
	spec := Default()
	change(&spec)
	return spec
}

// remembered returns machines with the addresses that new ones get.
func remembered(names ...string) []Machine {
	var all []Machine
	for _, name := range names {
		group, index, _ := nodeconfig.SplitName(name)
		taken := map[int]bool{}
		for _, m := range all {
			taken[m.Number] = true
		}
		all = append(all, Machine{Name: name, Number: freeNumber(group, index, taken)})
	}
	return all
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func TestDefaultIsValid(t *testing.T) {
	if faults := Validate(Default(), roomy, 3); len(faults) > 0 {
		t.Error(faults)
	}
}

func TestEachFaultIsOneLine(t *testing.T) {
	for _, test := range []struct {
		change func(*Spec)
		want   string
	}{
		{func(s *Spec) { s.Name = "Foo_Bar" }, "not a DNS label"},
		{func(s *Spec) { s.Name = "" }, "not a DNS label"},
		{func(s *Spec) { s.Name = "-a" }, "not a DNS label"},
		{func(s *Spec) { s.Name = strings.Repeat("a", 41) }, "not a DNS label"},
		{func(s *Spec) { s.ControlPlanes = 0 }, "at least one control plane"},
		{func(s *Spec) { s.ControlPlanes = -1 }, "at least one control plane"},
		{func(s *Spec) { s.ControlPlanes = 2 }, "use 1 or 3"},
		{func(s *Spec) { s.ControlPlanes = 11; s.Memory = "1Gi" }, "maximum is 9"},
		{func(s *Spec) { s.Workers = -1 }, "workers is -1"},
		{func(s *Spec) { s.Zones = 0 }, "zones is 0"},
		{func(s *Spec) { s.Zones = 27 }, "between 1 and 26"},
		{func(s *Spec) { s.CPUs = 9 }, "1 to 8"},
		{func(s *Spec) { s.CPUs = 0 }, "1 to 8"},
		{func(s *Spec) { s.Memory = "12Gi" }, "more than this host has"},
		{func(s *Spec) { s.Memory = "100Mi" }, "too small"},
		{func(s *Spec) { s.Memory = "much" }, "invalid memory"},
		{func(s *Spec) { s.Memory = "99999999999999999999" }, "invalid memory"},
		{func(s *Spec) { s.Disk = "1Gi" }, "too small"},
		{func(s *Spec) { s.Disk = "-5Gi" }, "invalid disk size"},
		{func(s *Spec) { s.Driver = "docker" }, "lima, sandbox"},
		{func(s *Spec) { s.APIPort = 70000 }, "invalid apiPort"},
		{func(s *Spec) { s.Network.Pods = prefix("10.96.0.0/12") }, "overlap"},
		{func(s *Spec) { s.Network.Pods = prefix("10.244.0.0/24") }, "1 ranges of 256 addresses for 3 nodes"},
		{func(s *Spec) { s.Network.Pods = prefix("10.244.0.1/16") }, "use 10.244.0.0/16"},
		{func(s *Spec) { s.Network.Pods = netip.Prefix{} }, "must be an IPv4 range"},
		{func(s *Spec) { s.Network.Services = prefix("fd00::/108") }, "must be an IPv4 range"},
		{func(s *Spec) { s.Network.Services = prefix("10.96.0.0/28") }, "wrong size"},
		{func(s *Spec) { s.Network.Nodes = prefix("192.168.0.0/16") }, "wrong size"},
		{func(s *Spec) { s.Network.Domain = "Not A Name" }, "use a DNS name"},
		{func(s *Spec) { s.Network.Egress = "some" }, "choose one of all, public, none"},
		{func(s *Spec) { s.Network.IPFamily = "ipv6" }, "choose one of ipv4, dual"},
		{func(s *Spec) { s.KubernetesVersion = "1.36.3" }, "use a minor version such as 1.37"},
		{func(s *Spec) { s.KubernetesVersion = "v1.36" }, "use a minor version such as 1.37"},
		{func(s *Spec) { s.KubernetesVersion = "../1.36" }, "use a minor version such as 1.37"},
	} {
		faults := Validate(with(test.change), roomy, 3)
		if len(faults) != 1 || !strings.Contains(faults[0].Error(), test.want) || strings.Contains(faults[0].Error(), "\n") {
			t.Errorf("faults %q, want one line with %q", faults, test.want)
		}
	}
}

func TestNewMachinesNeedDiskSpace(t *testing.T) {
	full := Host{CPUs: 8, MemoryMiB: 32 << 10, DiskFreeMiB: 2500}
	if faults := Validate(Default(), full, 3); len(faults) != 1 || !strings.Contains(faults[0].Error(), "not enough disk space") {
		t.Errorf("faults %v", faults)
	}
	if faults := Validate(Default(), full, 0); len(faults) != 0 {
		t.Errorf("an existing cluster: %v", faults)
	}
}

func TestWhatCanChangeWhileTheClusterExists(t *testing.T) {
	old := with(func(s *Spec) { s.APIPort, s.KubernetesVersion = 6443, "1.36" })
	state := State{Spec: old, Machines: Remember(nil, old)}
	for i := range state.Machines {
		state.Machines[i].DiskMiB = 20 << 10
	}
	for _, allowed := range []func(*Spec){
		func(*Spec) {},
		func(s *Spec) { s.Workers = 5 },
		func(s *Spec) { s.ControlPlanes = 3 },
		func(s *Spec) { s.CPUs = 4 },
		func(s *Spec) { s.Memory = "4Gi" },
		func(s *Spec) { s.Disk = "40Gi" },
		func(s *Spec) { s.Disk = "20480Mi" }, // the same size
		func(s *Spec) { s.Workers = 0 },
		func(s *Spec) { s.Nodes = []Group{{Name: "gpu", Count: 1, Disk: "5Gi"}} },
		func(s *Spec) { s.KubernetesVersion = "1.36" },
	} {
		if faults := Changes(state, with(allowed)); len(faults) > 0 {
			t.Errorf("refused: %v", faults)
		}
	}
	for _, refused := range []func(*Spec){
		func(s *Spec) { s.Disk = "10Gi" },
		func(s *Spec) { s.Nodes = []Group{{Name: "worker", Disk: "10Gi"}} },
		func(s *Spec) { s.APIPort = 7443 },
		func(s *Spec) { s.Zones = 2 },
		func(s *Spec) { s.Network.Nodes = prefix("192.168.105.0/24") },
		func(s *Spec) { s.Network.Pods = prefix("10.245.0.0/16") },
		func(s *Spec) { s.Network.Services = prefix("10.97.0.0/16") },
		func(s *Spec) { s.Network.Domain = "other" },
		func(s *Spec) { s.Network.Egress = EgressNone },
		func(s *Spec) { s.Network.IPFamily = FamilyDual },
		func(s *Spec) { s.KubernetesVersion = "1.37" },
	} {
		if faults := Changes(state, with(refused)); len(faults) != 1 {
			t.Errorf("faults %v, want one", faults)
		}
	}
}

func TestNodesKeepNameAndAddressWhenAClusterGrows(t *testing.T) {
	small, large := Nodes(Default(), nil), Nodes(with(func(s *Spec) { s.Workers = 9 }), nil)
	for _, n := range small {
		if !slices.Contains(large, n) {
			t.Errorf("%+v is gone", n)
		}
	}
	want := Node{Name: "worker-2", Role: nodeconfig.RoleWorker, Group: "worker", Size: Size{2, 2048, 20480}, Address: prefix("192.168.104.22/24"), MAC: "52:55:c0:a8:68:16", Zone: "local-a"}
	if small[2] != want {
		t.Errorf("third node %+v, want %+v", small[2], want)
	}
	if small[0].Name != "control-plane-1" || small[0].Address != prefix("192.168.104.11/24") {
		t.Errorf("first node %+v", small[0])
	}
}

func TestDocumentGivesAControlPlaneEtcdAndATaint(t *testing.T) {
	spec := with(func(s *Spec) { s.ControlPlanes = 3 })
	nodes := Nodes(spec, nil)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	files := map[string][]byte{"ca.crt": []byte("x")}
	first := Document(State{Spec: spec}, nodes[0], files, now)
	for _, document := range []nodeconfig.Node{first, Document(State{Spec: spec}, nodes[3], files, now)} {
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nodeconfig.Parse(text); err != nil {
			t.Errorf("the node refuses its document: %v", err)
		}
	}
	if first.Etcd == nil || len(first.ControlPlanes) != 3 || len(first.Kubernetes.Taints) != 1 {
		t.Errorf("control plane: %+v", first)
	}
	worker := Document(State{Spec: spec}, nodes[3], files, now)
	if worker.Etcd != nil || len(worker.Kubernetes.Taints) != 0 || len(worker.ControlPlanes) != 3 || len(worker.Network.Hosts) != 5 {
		t.Errorf("worker: %+v", worker)
	}
	if worker.Kubernetes.DNSAddress != netip.MustParseAddr("10.96.0.10") || worker.Network.Gateway != netip.MustParseAddr("192.168.104.2") {
		t.Errorf("addresses: %+v", worker)
	}
	alone := with(func(s *Spec) { s.Workers = 0 })
	if taints := Document(State{Spec: alone}, Nodes(alone, nil)[0], files, now).Kubernetes.Taints; len(taints) != 0 {
		t.Errorf("a single control plane runs no pods: %v", taints)
	}
}

func TestTheFirstControlPlaneFormsTheClusterAndOthersJoin(t *testing.T) {
	three := with(func(s *Spec) { s.ControlPlanes = 3 })
	for _, tt := range []struct {
		name    string
		state   State
		node    int
		members int
		join    bool
	}{
		{"first of three, new", State{Spec: three}, 0, 1, false},
		{"second of three, new", State{Spec: three}, 1, 3, true},
		{"first of three that lost its disk", State{Spec: three, Formed: true}, 0, 3, true},
		{"alone, new", State{Spec: Default()}, 0, 1, false},
		{"alone", State{Spec: Default(), Formed: true}, 0, 1, false},
		{"stays while two leave", State{Spec: Default(), Formed: true, Machines: remembered("control-plane-1", "control-plane-2", "control-plane-3")}, 0, 3, true},
	} {
		got := Document(tt.state, tt.state.Desired()[tt.node], nil, time.Time{}).Etcd
		if len(got.Members) != tt.members || got.Join != tt.join {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
	state := State{Spec: Default(), Formed: true, Machines: remembered("control-plane-1", "control-plane-2", "worker-1")}
	leaving := state.Leaving()
	if len(leaving) != 1 || leaving[0].Name != "control-plane-2" {
		t.Fatalf("leaving %+v", leaving)
	}
	if got := Document(state, leaving[0], nil, time.Time{}); !got.Etcd.Join || got.Network.Address != leaving[0].Address {
		t.Errorf("document of a departing node: %+v", got)
	}
}

func TestStateIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.json")
	if _, err := ReadState(path); !IsAbsent(err) {
		t.Errorf("no file: %v", err)
	}
	want := State{Spec: with(func(s *Spec) { s.APIPort = 6443 }), Machines: remembered("worker-1"), Created: time.Now().UTC().Round(0)}
	if err := WriteState(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadState(path)
	if err != nil || !got.Spec.Same(want.Spec) || !got.Created.Equal(want.Created) || got.Version != StateVersion {
		t.Errorf("read %+v, %v", got, err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", info.Mode())
	}
}

func TestMountsChangeOnlyWhileTheClusterIsStopped(t *testing.T) {
	old, wanted := with(func(*Spec) {}), with(func(s *Spec) { s.Mounts = []string{"/src:/src"} })
	if err := CheckRunning(old, wanted); err == nil || !strings.Contains(err.Error(), "skiff stop") {
		t.Errorf("a new mount: %v", err)
	}
	gateways := old
	gateways.GatewayAPI = true
	if err := CheckRunning(old, gateways); err == nil || !strings.Contains(err.Error(), "gatewayAPI") {
		t.Errorf("%v", err)
	}
	runtimes, reordered := old, old
	runtimes.Runtimes, reordered.Runtimes = []string{"crun", "gvisor"}, []string{"gvisor", "crun"}
	if err := CheckRunning(old, runtimes); err == nil || !strings.Contains(err.Error(), "runtimes") {
		t.Errorf("%v", err)
	}
	if err := CheckRunning(runtimes, reordered); err != nil {
		t.Errorf("the same runtimes in another order: %v", err)
	}
	if err := CheckRunning(wanted, wanted); err != nil {
		t.Errorf("the same mount: %v", err)
	}
	if faults := Changes(State{Spec: old}, wanted); faults != nil {
		t.Errorf("a new mount of a stopped cluster: %v", faults)
	}
}

func TestReadingAStateChangesNothing(t *testing.T) {
	good := `"spec":{"name":"a","controlPlanes":1,"workers":2,"cpus":2,"memory":"2Gi","disk":"20Gi","driver":"lima","network":{"nodes":"192.168.104.0/24","pods":"10.244.0.0/16","services":"10.96.0.0/16","domain":"cluster.local"}}`
	for content, want := range map[string]error{
		"":                                     ErrDamaged,
		"{":                                    ErrDamaged,
		"[]":                                   ErrDamaged,
		"{}":                                   ErrDamaged,
		`{"version":-1}`:                       ErrDamaged,
		`{"version":1}`:                        ErrDamaged,
		`{"version":2,"spec":{}}`:              ErrDamaged,
		`{"version":2,"nodes":"x"}`:            ErrDamaged,
		`{"version":2,"spec":{"name":"../x"}}`: ErrDamaged,
		`{"version":2,"nodes":["../x"],` + good + `}`:                                                             ErrDamaged,
		`{"version":3,"machines":[{"name":"worker-1","number":200}],` + good + `}`:                                ErrDamaged,
		`{"version":3,"machines":[{"name":"worker-1","number":21},{"name":"worker-2","number":21}],` + good + `}`: ErrDamaged,
		`{"version":3,"machines":[{"name":"gpu-1","number":127}],` + good + `}`:                                   nil,
		`{"version":99}`:                             ErrNewer,
		`{"version":99,"spec":"changed"}`:            ErrNewer,
		`{"version":2,"surprise":true,` + good + `}`: ErrNewer,
		`{"version":2,` + strings.Replace(good, `"cpus"`, `"gpus":1,"cpus"`, 1) + `}`: ErrNewer,
		`{"version":2,` + good + `}`: nil,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "cluster.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadState(path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", content, err, want)
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != content {
			t.Errorf("%s: the file is %q afterwards, %v", content, left, err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("%s: files %v, %v", content, files, err)
		}
	}
}

// The fixtures are state files as earlier programs wrote them, one for each
// version: they must stay readable.
func TestStateFilesOfEveryVersionAreReadable(t *testing.T) {
	for version := 1; version <= StateVersion; version++ {
		state, err := ReadState(filepath.Join("testdata", "state", fmt.Sprintf("v%d.json", version)))
		if err != nil {
			t.Error(err)
			continue
		}
		if version < StateVersion && migrations[version] == nil {
			t.Errorf("no migration from version %d", version)
		}
		want := State{
			Version: StateVersion, Spec: with(func(s *Spec) { s.Name, s.APIPort, s.KubernetesVersion = "dev", 43211, "1.36" }),
			Machines: []Machine{
				{Name: "control-plane-1", Number: 11, DiskMiB: 20 << 10, Taints: []string{RoleTaint}},
				{Name: "worker-1", Number: 21, DiskMiB: 20 << 10},
				{Name: "worker-2", Number: 22, DiskMiB: 20 << 10},
			},
			Formed: true,
			Image:  "sha256:0f1e", Kubernetes: "v1.36.3", Created: time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC),
		}
		if !reflect.DeepEqual(state, want) {
			t.Errorf("version %d: %+v\nwant %+v", version, state, want)
		}
	}
}

func TestKubeconfigHasOneContextNamedAfterTheCluster(t *testing.T) {
	content, err := Kubeconfig("demo", 6443, map[string][]byte{"ca.crt": []byte("ca"), "admin.crt": []byte("c"), "admin.key": []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"current-context: skiff-demo", "https://127.0.0.1:6443"} {
		if !strings.Contains(string(content), want) {
			t.Errorf("no %q in\n%s", want, content)
		}
	}
}

func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"version":1,"spec":{"name":"a","controlPlanes":1,"workers":2,"cpus":2,"memory":"2Gi","disk":"20Gi","network":{"nodes":"192.168.104.0/24","pods":"10.244.0.0/16","services":"10.96.0.0/16","domain":"cluster.local"}},"nodes":["worker-1"]}`))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		state, err := ParseState(content)
		if err != nil {
			return
		}
		// What is accepted must be usable.
		for _, n := range state.Desired() {
			Document(state, n, nil, time.Time{})
		}
		Plan(state.Spec, Observed{})
	})
}

func TestSameIgnoresAnOpenPortAndVersion(t *testing.T) {
	open, taken := Default(), Default()
	taken.APIPort, taken.KubernetesVersion = 6443, "1.36"
	if !open.Same(taken) || !taken.Same(open) {
		t.Error("a spec without a port differs from the same spec with a port")
	}
	open.Workers = 5
	if open.Same(taken) {
		t.Error("specs with different numbers of workers are the same")
	}
}

func TestMiBRoundsUp(t *testing.T) {
	for quantity, want := range map[string]int{"2Gi": 2048, "900Ti": 900 << 20, "1": 1, "1.5Gi": 1536} {
		if got, err := MiB(quantity); err != nil || got != want {
			t.Errorf("MiB(%s) = %d, %v, want %d", quantity, got, err, want)
		}
	}
	for _, quantity := range []string{"-1Gi", "much", "9999Ei"} {
		if got, err := MiB(quantity); err == nil {
			t.Errorf("MiB(%s) = %d", quantity, got)
		}
	}
}

func TestZonesSpreadControlPlanesAndWorkersEachInTurn(t *testing.T) {
	got := map[string]string{}
	for _, n := range Nodes(with(func(s *Spec) { s.ControlPlanes, s.Workers, s.Zones = 3, 4, 3 }), nil) {
		got[n.Name] = n.Zone
	}
	want := map[string]string{
		"control-plane-1": "local-a", "control-plane-2": "local-b", "control-plane-3": "local-c",
		"worker-1": "local-a", "worker-2": "local-b", "worker-3": "local-c", "worker-4": "local-a",
	}
	if !maps.Equal(got, want) {
		t.Errorf("zones %v, want %v", got, want)
	}
}

func TestFindKnowsTheMachinesThatMayExist(t *testing.T) {
	state := State{Spec: with(func(s *Spec) { s.Zones = 2 })}
	state.Machines = Remember(nil, state.Spec)
	for _, n := range state.Desired() {
		if found, ok := state.Find(n.Name); !ok || found != n {
			t.Errorf("%s: %+v, %v", n.Name, found, ok)
		}
	}
	for _, name := range []string{"worker-3", "worker-0", "worker-01", "control-plane-10", "other", ""} {
		if n, ok := state.Find(name); ok {
			t.Errorf("%q: %+v", name, n)
		}
	}
}

func TestLoadBalancersHaveAddressesThatNoNodeCanHave(t *testing.T) {
	pool := BalancerAddresses(Default().Network.Nodes)
	if pool.String() != "192.168.104.128/25" {
		t.Errorf("load balancers have %s", pool)
	}
	if faults := Validate(with(func(s *Spec) { s.Workers = MaxWorkers + 1 }), Host{CPUs: 8, MemoryMiB: 1 << 20, DiskFreeMiB: 1 << 20}, 0); len(faults) != 1 {
		t.Errorf("one worker too many: %v", faults)
	}
	for _, n := range Nodes(with(func(s *Spec) { s.ControlPlanes, s.Workers = maxControlPlanes, MaxWorkers }), nil) {
		if pool.Contains(n.Address.Addr()) {
			t.Errorf("%s has %s", n.Name, n.Address)
		}
	}
}

func TestInstanceTypeIsAValidLabel(t *testing.T) {
	spec := with(func(s *Spec) { s.Memory = "2048Mi" })
	if got := InstanceType(spec, Nodes(spec, nil)[0]); got != "lima-2cpu-2Gi" {
		t.Errorf("instance type %q", got)
	}
}
