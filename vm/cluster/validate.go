package cluster

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/skiff-dev/skiff/internal/kubenames"
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
	// Folder returns an error for a path that is not a directory; nil accepts any path.
	Folder func(path string) error
	// Names are what Kubernetes' components know; nil accepts any name.
	Names *kubenames.Names
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
	if spec.Workers < 0 || spec.Workers > maxWorkers {
		fault("workers is %d: it must be between 0 and %d", spec.Workers, maxWorkers)
	}
	if spec.Zones < 1 || spec.Zones > maxZones {
		fault("zones is %d: it must be between 1 and %d", spec.Zones, maxZones)
	}
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
	faults = append(faults, validateRecords(spec.Records)...)
	faults = append(faults, validateKubernetes(spec.Kubernetes, host.Names)...)
	return append(faults, validateNetwork(spec)...)
}

func validateSize(spec Spec, host Host, newMachines int) []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if spec.CPUs < 1 || spec.CPUs > host.CPUs {
		fault("cpus is %d: each machine can have 1 to %d, the number of this host's CPUs", spec.CPUs, host.CPUs)
	}
	machines := max(spec.ControlPlanes, 0) + max(spec.Workers, 0)
	memory, err := MiB(spec.Memory)
	switch {
	case err != nil:
		fault("invalid memory %q: use e.g. 2Gi or 1536Mi", spec.Memory)
	case memory < minMemoryMiB:
		fault("memory %s is too small: a machine needs at least %d MiB", spec.Memory, minMemoryMiB)
	case memory > host.MemoryMiB/max(machines, 1):
		fault("memory %s for each of %d machines is more than this host has (%d MiB)", spec.Memory, machines, host.MemoryMiB)
	}
	disk, err := MiB(spec.Disk)
	switch {
	case err != nil:
		fault("invalid disk size %q: use e.g. 20Gi", spec.Disk)
	case disk < minDiskMiB:
		fault("disk %s is too small: a machine needs at least %d MiB", spec.Disk, minDiskMiB)
	case newMachines*roomMiB > host.DiskFreeMiB:
		fault("not enough disk space: %d new machines need %d MiB at first, but only %d MiB are free", newMachines, newMachines*roomMiB, host.DiskFreeMiB)
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
	nodes := max(spec.ControlPlanes, 0) + max(spec.Workers, 0)
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
	return faults
}

// Changes returns the changes between an existing and the desired cluster that are
// not possible.
func Changes(old, wanted Spec) []error {
	var faults []error
	fixed := func(name string, was, is any) {
		if was != is {
			faults = append(faults, fmt.Errorf("%s cannot change from %v to %v while the cluster exists: run \"skiff down %s\" first", name, was, is, old.Name))
		}
	}
	fixed("driver", old.Driver, wanted.Driver)
	fixed("cpus", old.CPUs, wanted.CPUs)
	fixed("memory", canonical(old.Memory), canonical(wanted.Memory))
	fixed("disk", canonical(old.Disk), canonical(wanted.Disk))
	fixed("zones", old.Zones, wanted.Zones)
	if wanted.APIPort != 0 {
		fixed("apiPort", old.APIPort, wanted.APIPort)
	}
	fixed("network.nodes", old.Network.Nodes, wanted.Network.Nodes)
	fixed("network.pods", old.Network.Pods, wanted.Network.Pods)
	fixed("network.services", old.Network.Services, wanted.Network.Services)
	fixed("network.domain", old.Network.Domain, wanted.Network.Domain)
	fixed("network.egress", old.Network.Egress, wanted.Network.Egress)
	fixed("network.ipFamily", old.Network.IPFamily, wanted.Network.IPFamily)
	if old.Workers == 0 != (wanted.Workers == 0) {
		faults = append(faults, fmt.Errorf("workers cannot change from %d to %d while the cluster exists, because control planes run pods only in a cluster without workers: run \"skiff down %s\" first", old.Workers, wanted.Workers, old.Name))
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
