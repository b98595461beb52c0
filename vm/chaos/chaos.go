// Package chaos decides about faults that users cause on purpose: whether a request is
// valid, how faults impair the machines' links, and when they end. Apart from their record,
// it does no I/O: package fleet begins and ends faults.
package chaos

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/network/impair"
)

// Limits of requests.
const (
	shortest     = time.Second
	longest      = 24 * time.Hour
	longestDelay = 10 * time.Second
	slowest      = 1000 // bits per second
	// farthest is how far a clock may be set.
	farthest = 10 * 365 * 24 * time.Hour
	// maxFaults bounds the active faults: each partition is one bit of impair.Link.Cuts.
	maxFaults = 64
)

// Host describes which faults the machines' host does not allow.
type Host struct {
	// Shared is set if the machines' clock and file system are the host's.
	Shared bool
	// NoLinks is set if links cannot be impaired.
	NoLinks bool
}

// New returns the fault for a request. The error is one line for users.
func New(request daemonapi.FaultRequest, nodes []cluster.Node, active []daemonapi.Fault, host Host, now time.Time) (daemonapi.Fault, error) {
	now = now.UTC().Round(0) // without the monotonic clock, which stops while the host sleeps
	fault := daemonapi.Fault{
		Kind: request.Kind, Zones: request.Zones, FaultParameters: request.FaultParameters,
		Began: now, Until: now.Add(time.Duration(min(request.Seconds, longest.Seconds()+1) * float64(time.Second))),
	}
	var err error
	if fault.Nodes, err = named(request, nodes); err != nil {
		return fault, err
	}
	if err := check(request, host); err != nil {
		return fault, err
	}
	if len(active) >= maxFaults {
		return fault, fmt.Errorf("%d faults are active, which is the maximum: end some with `skiff chaos clear`", maxFaults)
	}
	for _, other := range active {
		for _, node := range other.Nodes {
			if slices.Contains(fault.Nodes, node) && excludes(other.Kind, fault.Kind) {
				return fault, fmt.Errorf("%s has the fault %s already: end it first with `skiff chaos clear %s`", node, other.ID, other.ID)
			}
		}
	}
	fault.ID = unused(request.Kind, active)
	fault.Warning = warning(nodes, append(slices.Clone(active), fault))
	return fault, nil
}

// named returns the nodes of a request in the order of the cluster.
func named(request daemonapi.FaultRequest, nodes []cluster.Node) ([]string, error) {
	var names, zones []string
	for _, n := range nodes {
		names = append(names, n.Name)
		if !slices.Contains(zones, n.Zone) {
			zones = append(zones, n.Zone)
		}
	}
	for _, list := range []struct {
		what          string
		given, chosen []string
	}{{"node", request.Nodes, names}, {"zone", request.Zones, zones}} {
		for _, name := range list.given {
			if slices.Contains(list.chosen, name) {
				continue
			}
			if meant := nearest.Of(name, list.chosen); meant != "" {
				return nil, fmt.Errorf("no %s named %q: did you mean %q?", list.what, name, meant)
			}
			return nil, fmt.Errorf("no %s named %q: choose from %s", list.what, name, strings.Join(list.chosen, ", "))
		}
	}
	var chosen []string
	for _, n := range nodes {
		if slices.Contains(request.Nodes, n.Name) || slices.Contains(request.Zones, n.Zone) {
			chosen = append(chosen, n.Name)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("name at least one node: choose from %s", strings.Join(names, ", "))
	}
	return chosen, nil
}

// check returns what is wrong with the kind, the time and the parameters of a request.
func check(request daemonapi.FaultRequest, host Host) error {
	if !slices.Contains(daemonapi.FaultKinds(), request.Kind) {
		return fmt.Errorf("unknown kind of fault %q: choose from %s", request.Kind, kinds())
	}
	if !(request.Seconds >= shortest.Seconds() && request.Seconds <= longest.Seconds()) {
		return fmt.Errorf("a fault lasts %s to %s: %s is out of range", shortest, longest, span(request.Seconds))
	}
	parameters := request.FaultParameters
	var err error
	switch request.Kind {
	case daemonapi.FaultLatency:
		if delay := parameters.DelayMilliseconds; !(delay >= 1 && delay <= longestDelay.Seconds()*1000) {
			err = fmt.Errorf("invalid delay of %g ms: it must be between 1ms and %s", delay, longestDelay)
		}
		parameters.DelayMilliseconds = 0
	case daemonapi.FaultLoss:
		if loss := parameters.LossPercent; !(loss > 0 && loss <= 100) {
			err = fmt.Errorf("invalid loss of %g%%: it must be above 0 and at most 100", loss)
		}
		parameters.LossPercent = 0
	case daemonapi.FaultBandwidth:
		if rate := parameters.BitsPerSecond; rate < slowest {
			err = fmt.Errorf("invalid rate %s: it must be at least %s", daemonapi.Rate(rate), daemonapi.Rate(slowest))
		}
		parameters.BitsPerSecond = 0
	case daemonapi.FaultClock:
		if offset := parameters.OffsetSeconds; !(math.Abs(offset) >= 0.001 && math.Abs(offset) <= farthest.Seconds()) {
			err = fmt.Errorf("invalid offset of %g s: it must not be 0, and at most %s in either direction", offset, farthest)
		}
		parameters.OffsetSeconds = 0
	}
	switch {
	case err != nil:
		return err
	case parameters != daemonapi.FaultParameters{}:
		return fmt.Errorf("a fault of the kind %s does not have these parameters", request.Kind)
	}
	return possible(request.Kind, host)
}

// possible returns why the host does not allow faults of a kind, nil if it does.
func possible(kind daemonapi.FaultKind, host Host) error {
	switch {
	case host.Shared && kind == daemonapi.FaultClock:
		return fmt.Errorf("the nodes of this cluster share this host's clock, which cannot differ between them: use --driver lima for a fault of the clock")
	case host.Shared && kind == daemonapi.FaultDiskFull:
		return fmt.Errorf("the nodes of this cluster share this host's file system, which would be full as well: use --driver lima for a full disk")
	case host.NoLinks && ofLink(kind):
		return fmt.Errorf("the driver of this cluster cannot impair the nodes' network")
	}
	return nil
}

// span formats a number of seconds, however large it is.
func span(seconds float64) string {
	if math.Abs(seconds) > 2*longest.Seconds() || math.IsNaN(seconds) {
		return fmt.Sprintf("%g s", seconds)
	}
	return time.Duration(seconds * float64(time.Second)).String()
}

func kinds() string {
	var all []string
	for _, kind := range daemonapi.FaultKinds() {
		all = append(all, string(kind))
	}
	return strings.Join(all, ", ")
}

func ofLink(kind daemonapi.FaultKind) bool {
	switch kind {
	case daemonapi.FaultPartition, daemonapi.FaultLatency, daemonapi.FaultLoss, daemonapi.FaultBandwidth:
		return true
	}
	return false
}

// excludes reports whether a node cannot have faults of both kinds at once. Faults of the
// machine itself exclude each other: a machine that is killed or paused cannot be told to
// end another fault.
func excludes(a, b daemonapi.FaultKind) bool { return a == b || !ofLink(a) && !ofLink(b) }

// unused returns an ID that no active fault has.
func unused(kind daemonapi.FaultKind, active []daemonapi.Fault) string {
	for number := 1; ; number++ {
		id := fmt.Sprintf("%s-%d", kind, number)
		if !slices.ContainsFunc(active, func(f daemonapi.Fault) bool { return f.ID == id }) {
			return id
		}
	}
}

// warning returns how faults affect the Kubernetes API; empty if it still answers.
func warning(nodes []cluster.Node, faults []daemonapi.Fault) string {
	planes, lost := 0, 0
	for _, n := range nodes {
		if n.Role != nodeconfig.RoleControlPlane {
			continue
		}
		planes++
		if slices.ContainsFunc(faults, func(f daemonapi.Fault) bool { return slices.Contains(f.Nodes, n.Name) && silences(f.Kind) }) {
			lost++
		}
	}
	switch {
	case lost == 0 || planes-lost > planes/2:
		return ""
	case planes == 1:
		return "the only control plane is affected: the Kubernetes API does not answer until the fault ends"
	default:
		return fmt.Sprintf("%d of %d control planes are affected, so etcd has no majority: the Kubernetes API does not answer until a fault ends", lost, planes)
	}
}

// silences reports whether a node with a fault of that kind is unreachable.
func silences(kind daemonapi.FaultKind) bool {
	return kind == daemonapi.FaultKill || kind == daemonapi.FaultPause || kind == daemonapi.FaultPartition
}

// Links returns how faults impair the links of nodes.
func Links(nodes []cluster.Node, faults []daemonapi.Fault) impair.Links {
	addresses := map[string]netip.Addr{}
	for _, n := range nodes {
		addresses[n.Name] = n.Address.Addr()
	}
	links := impair.Links{}
	partitions := 0
	for _, f := range faults {
		if !ofLink(f.Kind) {
			continue
		}
		for _, name := range f.Nodes {
			at, ok := addresses[name]
			if !ok {
				continue
			}
			link := links[at]
			link.Delay += time.Duration(f.DelayMilliseconds * float64(time.Millisecond))
			link.Loss = max(link.Loss, f.LossPercent/100)
			link.BitsPerSecond = max(link.BitsPerSecond, f.BitsPerSecond)
			if f.Kind == daemonapi.FaultPartition {
				link.Cuts |= 1 << partitions
			}
			links[at] = link
		}
		if f.Kind == daemonapi.FaultPartition {
			partitions++
		}
	}
	return links
}

// Due returns the faults that have ended at the time now, and when the next of the others
// ends; zero if there are no others.
func Due(active []daemonapi.Fault, now time.Time) (over []daemonapi.Fault, next time.Time) {
	for _, f := range active {
		switch {
		case !f.Until.After(now):
			over = append(over, f)
		case next.IsZero() || f.Until.Before(next):
			next = f.Until
		}
	}
	return over, next
}

// Select returns the faults with the given IDs, all if there are none.
func Select(active []daemonapi.Fault, ids []string) ([]daemonapi.Fault, error) {
	if len(ids) == 0 {
		return slices.Clone(active), nil
	}
	var chosen []daemonapi.Fault
	for _, id := range ids {
		i := slices.IndexFunc(active, func(f daemonapi.Fault) bool { return f.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("no active fault named %q: `skiff chaos list` shows them", id)
		}
		chosen = append(chosen, active[i])
	}
	return chosen, nil
}

// On returns an active fault of a node that has one of the given kinds, or any kind if none
// is given.
func On(active []daemonapi.Fault, node string, kinds ...daemonapi.FaultKind) (daemonapi.Fault, bool) {
	for _, f := range active {
		if slices.Contains(f.Nodes, node) && (len(kinds) == 0 || slices.Contains(kinds, f.Kind)) {
			return f, true
		}
	}
	return daemonapi.Fault{}, false
}
