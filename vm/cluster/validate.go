package cluster

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/network/hostport"
	"github.com/skiff-dev/skiff/vm/registry/mirror"
)

// The minimum for a machine, in MiB.
const (
	minMemoryMiB = 512
	minDiskMiB   = 2048
	// roomMiB is how much a new machine's sparse disk needs at first.
	roomMiB = 1024
)

var (
	label  = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	domain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// Host holds the resources that are available to machines.
type Host struct {
	CPUs      int
	MemoryMiB int
	// DiskFreeMiB is the free space where the machines' disks are.
	DiskFreeMiB int
	// Drivers are the names of all drivers; nil accepts any name.
	Drivers []string
	// Pauses returns an error if a driver cannot pause machines; nil accepts any driver.
	Pauses func(driver string) error
	// Emulates returns an error if a driver cannot run machines of another architecture than
	// this host's; nil accepts any driver.
	Emulates func(driver string) error
	// Folder returns an error for a path that is not a directory; nil accepts any path.
	Folder func(path string) error
	// Names returns what the components of a version of Kubernetes know, or an error if
	// the version is not supported; nil accepts any version and name.
	Names func(version string) (*kubenames.Names, error)
}

// Validate returns what is wrong with spec, one line for each fault. It requires
// free disk space for newMachines machines.
func Validate(spec Spec, host Host, newMachines int) []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if len(spec.Name) > 40 || !label.MatchString(spec.Name) {
		fault("name %q is not a DNS label: use up to 40 lower-case letters, digits and hyphens, with a letter or digit at both ends", spec.Name)
	}
	switch n := spec.ControlPlanes; {
	case n < 1:
		fault("controlPlanes is %d: a cluster needs at least one control plane", n)
	case n%2 == 0:
		fault("controlPlanes is %d: an even number tolerates no more failures than the odd number below it; use %d or %d", n, n-1, n+1)
	case n > maxControlPlanes:
		fault("controlPlanes is %d: the maximum is %d", n, maxControlPlanes)
	}
	faults = append(faults, validateCount("workers", spec.Workers, spec.WorkersSpan)...)
	if spec.Zones < 1 || spec.Zones > maxZones {
		fault("zones is %d: it must be between 1 and %d", spec.Zones, maxZones)
	}
	faults = append(faults, validateSimulated(spec)...)
	if host.Drivers != nil && !slices.Contains(host.Drivers, spec.Driver) {
		fault("unknown driver %q: choose one of %s", spec.Driver, strings.Join(host.Drivers, ", "))
	}
	faults = append(faults, validateAPI(spec)...)
	for _, err := range mirror.Check(spec.Registry.Mirrors, spec.Registry.Insecure) {
		faults = append(faults, fmt.Errorf("registry: %w", err))
	}
	_, ports := ParsePorts(spec.Ports)
	faults = append(faults, ports...)
	faults = append(faults, validateSize(spec, host, newMachines)...)
	faults = append(faults, validatePeers(spec)...)
	faults = append(faults, validateProxy(spec)...)
	faults = append(faults, validateFolders(spec, host.Folder)...)
	faults = append(faults, validateAddons(spec.Addons)...)
	faults = append(faults, validateRecords(spec.Records)...)
	faults = append(faults, validateRuntimes(spec.Runtimes)...)
	faults = append(faults, ValidateVersion(spec, host.Names)...)
	faults = append(faults, validateRepair(spec.Repair)...)
	faults = append(faults, spec.Autoscaling.validate()...)
	faults = append(faults, ValidatePause(spec.Pause, spec.Driver, host.Pauses)...)
	return append(faults, validateNetwork(spec)...)
}

// validateRuntimes returns what is wrong with the names of container runtimes.
func validateRuntimes(runtimes []string) []error {
	var faults []error
	for i, name := range runtimes {
		known := nodeconfig.RuntimeNames()
		meant := nearest.Of(name, known)
		switch {
		case name == "runc":
			faults = append(faults, fmt.Errorf("runtimes: runc is every node's default runtime: leave it out"))
		case slices.Contains(runtimes[:i], name):
			faults = append(faults, fmt.Errorf("runtimes: %s is listed twice", name))
		case slices.Contains(known, name):
		case meant != "":
			faults = append(faults, fmt.Errorf("runtimes: unknown runtime %q: did you mean %q?", name, meant))
		default:
			faults = append(faults, fmt.Errorf("runtimes: unknown runtime %q: choose from %s", name, strings.Join(known, ", ")))
		}
	}
	return faults
}

// names returns what the components of the cluster's version know; nil if its version is
// not supported or any name is accepted.
func (h Host) names(spec Spec) *kubenames.Names {
	if h.Names == nil {
		return nil
	}
	names, err := h.Names(spec.KubernetesVersion)
	if err != nil {
		return nil // ValidateVersion reports it
	}
	return names
}

// ValidateVersion returns what is wrong with the version of Kubernetes and with the
// settings of its components.
func ValidateVersion(spec Spec, find func(version string) (*kubenames.Names, error)) []error {
	if version := spec.KubernetesVersion; version != "" && !manifest.IsMinor(version) {
		return []error{fmt.Errorf("invalid kubernetes.version %q: use a minor version such as %s; the node image has its patch release", version, kubenames.Default)}
	}
	if find == nil {
		return nil
	}
	names, err := find(spec.KubernetesVersion)
	if err != nil {
		return []error{fmt.Errorf("kubernetes.version: %w", err)}
	}
	return validateKubernetes(spec.Kubernetes, names)
}

// validateSize checks the sizes of machines, each by itself and all together.
func validateSize(spec Spec, host Host, newMachines int) []error {
	faults := validateMachine(Group{CPUs: spec.CPUs, Memory: spec.Memory, Disk: spec.Disk}, host)
	if spec.CPUs == 0 {
		faults = append(faults, fmt.Errorf("cpus is 0: each machine can have 1 to %d, the number of this host's CPUs", host.CPUs))
	}
	for _, value := range []struct{ name, text string }{{"memory", spec.Memory}, {"disk size", spec.Disk}} {
		if value.text == "" {
			faults = append(faults, fmt.Errorf("invalid %s %q: use e.g. 20Gi", value.name, value.text))
		}
	}
	faults = append(faults, validateGroups(spec, host)...)
	if len(faults) > 0 {
		return faults
	}
	memory, workers := 0, 0
	for _, g := range Groups(spec) {
		memory += g.most() * g.size().MemoryMiB
		if g.Name != nodeconfig.GroupControlPlanes {
			workers += g.most()
		}
	}
	if memory > host.MemoryMiB {
		faults = append(faults, fmt.Errorf("the memory of all %d machines adds up to %d MiB, which is more than this host has (%d MiB)", max(spec.ControlPlanes, 0)+workers, memory, host.MemoryMiB))
	}
	if workers > MaxWorkers && max(spec.Workers, spec.WorkersSpan.Max) <= MaxWorkers {
		faults = append(faults, fmt.Errorf("workers and all groups have %d nodes: the maximum is %d", workers, MaxWorkers))
	}
	if newMachines*roomMiB > host.DiskFreeMiB {
		faults = append(faults, fmt.Errorf("not enough disk space: %d new machines need %d MiB at first, but only %d MiB are free", newMachines, newMachines*roomMiB, host.DiskFreeMiB))
	}
	return faults
}

// validateMachine checks the size of one machine. It skips what is 0 or empty.
func validateMachine(g Group, host Host) []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if g.CPUs < 0 || g.CPUs > host.CPUs {
		fault("cpus is %d: each machine can have 1 to %d, the number of this host's CPUs", g.CPUs, host.CPUs)
	}
	switch memory, err := MiB(g.Memory); {
	case g.Memory == "":
	case err != nil:
		fault("invalid memory %q: use e.g. 2Gi or 1536Mi", g.Memory)
	case memory < minMemoryMiB:
		fault("memory %s is too small: a machine needs at least %d MiB", g.Memory, minMemoryMiB)
	}
	switch disk, err := MiB(g.Disk); {
	case g.Disk == "":
	case err != nil:
		fault("invalid disk size %q: use e.g. 20Gi", g.Disk)
	case disk < minDiskMiB:
		fault("disk %s is too small: a machine needs at least %d MiB", g.Disk, minDiskMiB)
	}
	return faults
}

func validateNetwork(spec Spec) []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	ranges := []struct {
		name           string
		prefix         netip.Prefix
		widest, narrow int
	}{
		{"network.nodes", spec.Network.Nodes, 24, 24},
		{"network.pods", spec.Network.Pods, 8, 24},
		// The API server accepts at most 20 bits of service addresses.
		{"network.services", spec.Network.Services, 12, 24},
	}
	for i, r := range ranges {
		if !r.prefix.IsValid() || !r.prefix.Addr().Is4() {
			fault("%s must be an IPv4 range such as 10.244.0.0/16", r.name)
			continue
		}
		if r.prefix != r.prefix.Masked() {
			fault("%s %s has host bits set: use %s", r.name, r.prefix, r.prefix.Masked())
		}
		if bits := r.prefix.Bits(); bits < r.widest || bits > r.narrow {
			fault("%s %s has the wrong size: the prefix length must be between %d and %d", r.name, r.prefix, r.widest, r.narrow)
		}
		for _, other := range ranges[:i] {
			if other.prefix.IsValid() && r.prefix.Overlaps(other.prefix) {
				fault("%s %s and %s %s overlap", other.name, other.prefix, r.name, r.prefix)
			}
		}
	}
	nodes := 0
	for _, g := range Groups(spec) {
		nodes += g.most()
	}
	if pods := spec.Network.Pods; pods.IsValid() && pods.Bits() <= 24 && nodes > 1<<(24-pods.Bits()) {
		fault("network.pods %s is too small: it has %d ranges of 256 addresses for %d nodes", pods, 1<<(24-pods.Bits()), nodes)
	}
	if len(spec.Network.Domain) > 200 || !domain.MatchString(spec.Network.Domain) {
		fault("invalid network.domain %q: use a DNS name such as cluster.local", spec.Network.Domain)
	}
	if _, err := hostport.Parse(spec.HostPorts); err != nil {
		fault("hostPorts: %w", err)
	}
	if !slices.Contains(Egresses(), spec.Network.Egress) {
		fault("unknown network.egress %q: choose one of %s", spec.Network.Egress, strings.Join(Egresses(), ", "))
	}
	if !slices.Contains(IPFamilies(), spec.Network.IPFamily) {
		fault("unknown network.ipFamily %q: choose one of %s", spec.Network.IPFamily, strings.Join(IPFamilies(), ", "))
	}
	for _, part := range []struct{ key, value string }{
		{"cni", spec.Network.CNI}, {"policy", spec.Network.Policy}, {"proxy", spec.Network.Proxy}, {"dns", spec.Network.DNS},
	} {
		if !slices.Contains(Parts(), part.value) {
			fault("unknown network.%s %q: choose one of %s", part.key, part.value, strings.Join(Parts(), ", "))
		}
	}
	if mtu := spec.Network.MTU; mtu != 0 && (mtu < minMTU || mtu > addressing.MTU) {
		fault("network.mtu is %d: it must be 0 or between %d and %d", mtu, minMTU, addressing.MTU)
	}
	if spec.Network.Proxy == PartNone && len(spec.Kubernetes.Proxy) > 0 {
		fault("kubernetes.proxy has no effect with network.proxy none: remove one of them")
	}
	return faults
}

// Changes returns the changes between an existing and the desired cluster that are
// not possible.
func Changes(state State, wanted Spec) []error {
	old := state.Spec
	var faults []error
	fixed := func(name string, was, is any) {
		if was != is {
			faults = append(faults, fmt.Errorf("%s cannot change from %v to %v while the cluster exists: run \"skiff down %s\" first", name, was, is, old.Name))
		}
	}
	fixed("driver", old.Driver, wanted.Driver)
	fixed("zones", old.Zones, wanted.Zones)
	if wanted.APIPort != 0 {
		fixed("apiPort", old.APIPort, wanted.APIPort)
	}
	if err := changeOfVersion(old.Name, old.KubernetesVersion, wanted.KubernetesVersion); err != nil {
		faults = append(faults, err)
	}
	fixed("network.nodes", old.Network.Nodes, wanted.Network.Nodes)
	fixed("network.pods", old.Network.Pods, wanted.Network.Pods)
	fixed("network.services", old.Network.Services, wanted.Network.Services)
	fixed("network.domain", old.Network.Domain, wanted.Network.Domain)
	fixed("network.egress", old.Network.Egress, wanted.Network.Egress)
	fixed("network.ipFamily", old.Network.IPFamily, wanted.Network.IPFamily)
	fixed("network.cni", old.Network.CNI, wanted.Network.CNI)
	fixed("network.policy", old.Network.Policy, wanted.Network.Policy)
	fixed("network.proxy", old.Network.Proxy, wanted.Network.Proxy)
	fixed("network.dns", old.Network.DNS, wanted.Network.DNS)
	fixed("network.mtu", old.Network.MTU, wanted.Network.MTU)
	nodes := Nodes(wanted, state.Machines)
	for _, n := range nodes {
		if n.number() == 0 {
			return append(faults, fmt.Errorf("the network has no address left for %s: remove nodes first, and wait until they are gone", n.Name))
		}
	}
	for _, n := range nodes {
		if m, _ := state.Machine(n.Name); m.DiskMiB > n.Size.DiskMiB {
			faults = append(faults, fmt.Errorf("disk cannot shrink to %s, because %s has %d MiB: disks only grow", GroupOf(wanted, n.Name).Disk, n.Name, m.DiskMiB))
			break
		}
	}
	faults = append(faults, changesOfArch(state, nodes)...)
	return append(faults, changesOfZone(state, wanted, nodes)...)
}

// changesOfZone returns an error for each group whose nodes would change their zone. nodes
// are those of the wanted cluster.
func changesOfZone(state State, wanted Spec, nodes []Node) []error {
	var faults []error
	for _, g := range Groups(wanted) {
		was := GroupOf(state.Spec, g.Name+"-1").Zone
		stays := slices.ContainsFunc(nodes, func(n Node) bool {
			_, known := state.Machine(n.Name)
			return n.Group == g.Name && known
		})
		if was != g.Zone && stays {
			faults = append(faults, fmt.Errorf("nodes: group %s: zone cannot change from %q to %q while it has nodes: use another group, or remove the nodes first", g.Name, was, g.Zone))
		}
	}
	return faults
}

// CheckRunning returns an error for a change that is possible only while the cluster is
// stopped.
func CheckRunning(old, wanted Spec) error {
	key := ""
	switch {
	case !slices.Equal(old.Mounts, wanted.Mounts):
		key = "mounts"
	case old.GatewayAPI != wanted.GatewayAPI:
		key = "gatewayAPI"
	case !sameSet(old.Runtimes, wanted.Runtimes):
		key = "runtimes"
	default:
		return nil
	}
	return fmt.Errorf("%s cannot change while the cluster runs: run \"skiff stop %s\" first", key, old.Name)
}

// MiB parses a Kubernetes quantity of bytes and rounds it up to MiB.
func MiB(quantity string) (int, error) {
	q, err := resource.ParseQuantity(quantity)
	if err != nil {
		return 0, fmt.Errorf("invalid quantity %q: %w", quantity, err)
	}
	if q.Sign() < 0 || q.CmpInt64(math.MaxInt64-(1<<20)) > 0 {
		return 0, fmt.Errorf("invalid quantity %q: out of range", quantity)
	}
	return int((q.Value() + 1<<20 - 1) >> 20), nil
}

func canonical(quantity string) string {
	q, err := resource.ParseQuantity(quantity)
	if err != nil {
		return quantity
	}
	return q.String()
}
