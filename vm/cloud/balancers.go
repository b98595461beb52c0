package cloud

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// assignment is the address of a service's load balancer, or of a Gateway.
type assignment struct {
	Kind      string     `json:"kind,omitempty"` // "" or kindGateway
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	UID       string     `json:"uid"`
	Address   netip.Addr `json:"address"`
}

// Balancers assigns addresses to the load balancers and Gateways of a cluster, and keeps
// them in a file, so that they keep their addresses. It implements LoadBalancers. It does not
// keep ports and nodes: package edge follows the services itself.
type Balancers struct {
	path string
	pool netip.Prefix

	changing sync.Mutex            // held while load balancers change
	mu       sync.Mutex            // guards all
	all      map[string]assignment // by the UID of the service
}

var _ LoadBalancers = (*Balancers)(nil)

// kindGateway is the kind of assignments to Gateways. Services have none.
const kindGateway = "Gateway"

// balancersVersion is the version of the file.
const balancersVersion = 1

type balancersFile struct {
	Version     int          `json:"version"`
	Assignments []assignment `json:"loadBalancers"`
}

// OpenBalancers reads the load balancers in the file at path, which need not exist.
// Their addresses are those of pool, without its last, which is a broadcast address.
// The caller holds the cluster's lock.
func OpenBalancers(path string, pool netip.Prefix, log *slog.Logger) (*Balancers, error) {
	b := &Balancers{path: path, pool: pool.Masked(), all: map[string]assignment{}}
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return b, nil
	case err != nil:
		return nil, fmt.Errorf("read the load balancers: %w", err)
	}
	file, err := parseBalancers(content)
	if errors.Is(err, errNewer) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err != nil {
		// Services ask for the addresses that they had, so little is lost.
		log.Warn("the file of load balancers is damaged, setting it aside", "file", path, "error", err)
		if err := os.Rename(path, path+".damaged"); err != nil {
			return nil, fmt.Errorf("set the damaged file of load balancers aside: %w", err)
		}
		return b, nil
	}
	for _, a := range file.Assignments {
		b.all[a.UID] = a
	}
	return b, nil
}

var errNewer = errors.New("the load balancers were written by a newer skiff: use that skiff or newer")

// parseBalancers decodes the file. Two load balancers never have one address.
func parseBalancers(content []byte) (balancersFile, error) {
	var file balancersFile
	if err := json.Unmarshal(content, &file); err != nil {
		return file, err
	}
	if file.Version > balancersVersion {
		return file, errNewer
	}
	uids, addresses := map[string]bool{}, map[netip.Addr]bool{}
	for _, a := range file.Assignments {
		if err := cloudapi.ValidateUID(a.UID); err != nil {
			return file, err
		}
		if !a.Address.Is4() || uids[a.UID] || addresses[a.Address] {
			return file, fmt.Errorf("address %q of service %.300q is invalid or a duplicate", a.Address, a.Namespace+"/"+a.Name)
		}
		uids[a.UID], addresses[a.Address] = true, true
	}
	return file, nil
}

// Get implements LoadBalancers.
func (b *Balancers) Get(uid string) (cloudapi.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.all[uid]
	if !ok {
		return cloudapi.Status{}, fmt.Errorf("load balancer of service %.100q: %w", uid, ErrNotFound)
	}
	return cloudapi.Status{Address: a.Address}, nil
}

// Ensure implements LoadBalancers.
func (b *Balancers) Ensure(l cloudapi.LoadBalancer, existing bool) (cloudapi.Status, error) {
	address, err := b.ensure("", l, existing)
	return cloudapi.Status{Address: address}, err
}

// EnsureGateway returns the address of a Gateway, of which only the names and the
// addresses in l count. Errors are those of Ensure.
func (b *Balancers) EnsureGateway(l cloudapi.LoadBalancer) (netip.Addr, error) {
	return b.ensure(kindGateway, l, false)
}

func (b *Balancers) ensure(kind string, l cloudapi.LoadBalancer, existing bool) (netip.Addr, error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	all := b.copy()
	if _, ok := all[l.UID]; existing && !ok {
		return netip.Addr{}, fmt.Errorf("load balancer of %s/%s: %w", l.Namespace, l.Name, ErrNotFound)
	}
	address, err := choose(all, b.pool, l)
	if err != nil {
		return netip.Addr{}, err
	}
	if a := (assignment{Kind: kind, Namespace: l.Namespace, Name: l.Name, UID: l.UID, Address: address}); all[l.UID] != a {
		all[l.UID] = a
		if err := b.replace(all); err != nil {
			return netip.Addr{}, err
		}
	}
	return address, nil
}

// Delete implements LoadBalancers.
func (b *Balancers) Delete(uid string) error {
	return b.remove(func(a assignment) bool { return a.Kind == "" && a.UID == uid })
}

// Retain implements LoadBalancers.
func (b *Balancers) Retain(uids []string) error { return b.retain("", uids) }

// RetainGateways releases the addresses of all Gateways but those with these UIDs.
func (b *Balancers) RetainGateways(uids []string) error { return b.retain(kindGateway, uids) }

func (b *Balancers) retain(kind string, uids []string) error {
	kept := map[string]bool{}
	for _, uid := range uids {
		kept[uid] = true
	}
	return b.remove(func(a assignment) bool { return a.Kind == kind && !kept[a.UID] })
}

// remove removes assignments.
func (b *Balancers) remove(chosen func(assignment) bool) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	all := b.copy()
	before := len(all)
	maps.DeleteFunc(all, func(_ string, a assignment) bool { return chosen(a) })
	if len(all) == before {
		return nil
	}
	return b.replace(all)
}

func (b *Balancers) copy() map[string]assignment {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.all)
}

// replace replaces all load balancers, first on disk, so that no address that a
// service has been given is given to another.
func (b *Balancers) replace(all map[string]assignment) error {
	content, err := json.MarshalIndent(balancersFile{Version: balancersVersion, Assignments: sortedByAddress(all)}, "", "  ")
	if err == nil {
		err = atomicfile.Write(b.path, append(content, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the load balancers: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = all
	return nil
}

func sortedByAddress(all map[string]assignment) []assignment {
	return slices.SortedFunc(maps.Values(all), func(a, b assignment) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.UID, b.UID))
	})
}

// choose returns the address of a load balancer among all: the requested one, else
// the one that it has or had, else the lowest that is free. A service keeps its
// address when it no longer requests it.
func choose(all map[string]assignment, pool netip.Prefix, l cloudapi.LoadBalancer) (netip.Addr, error) {
	owners := map[netip.Addr]assignment{}
	for uid, a := range all {
		if uid != l.UID {
			owners[a.Address] = a
		}
	}
	usable := func(a netip.Addr) bool { return a.IsValid() && pool.Contains(a) && pool.Contains(a.Next()) }
	if requested := l.Requested; requested.IsValid() {
		owner, taken := owners[requested]
		switch {
		case !usable(requested):
			return netip.Addr{}, fmt.Errorf("address %s: %w: load balancers have %s", requested, ErrUnusable, describe(pool))
		case taken:
			return netip.Addr{}, fmt.Errorf("address %s: %w by %s %s/%s", requested, ErrTaken, cmp.Or(owner.Kind, "service"), owner.Namespace, owner.Name)
		}
		return requested, nil
	}
	for _, known := range []netip.Addr{all[l.UID].Address, l.Previous} {
		if _, taken := owners[known]; usable(known) && !taken {
			return known, nil
		}
	}
	for a := pool.Addr(); usable(a); a = a.Next() {
		if _, taken := owners[a]; !taken {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w: load balancers have %s", ErrExhausted, describe(pool))
}

// describe returns the first and the last address that load balancers can have.
func describe(pool netip.Prefix) string {
	last := pool.Addr()
	for a := last; pool.Contains(a.Next()); a = a.Next() {
		last = a
	}
	return fmt.Sprintf("%s to %s", pool.Addr(), last)
}
