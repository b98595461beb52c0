package forward

import (
	"hash/fnv"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// ownRange is the range of the services' loopback addresses. No other software is
// known to use it.
var ownRange = netip.MustParsePrefix("127.80.0.0/12")

// ownAddresses returns a loopback address for each service. A service keeps the
// address that it had, and otherwise gets one that follows from its name and its
// cluster's, so that it has the same on every host.
func ownAddresses(cluster string, services []types.NamespacedName, had map[types.NamespacedName]netip.Addr) map[types.NamespacedName]netip.Addr {
	all := map[types.NamespacedName]netip.Addr{}
	taken := map[netip.Addr]bool{}
	for _, name := range services {
		if address, ok := had[name]; ok && ownRange.Contains(address) && !taken[address] {
			all[name], taken[address] = address, true
		}
	}
	ordered := slices.SortedFunc(slices.Values(services), func(a, b types.NamespacedName) int {
		return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
	})
	for _, name := range ordered {
		if _, ok := all[name]; ok {
			continue
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(cluster + "/" + name.String()))
		for number := h.Sum32(); ; number++ {
			if address := ownAddress(number); !taken[address] {
				all[name], taken[address] = address, true
				break
			}
		}
	}
	return all
}

// ownAddress returns an address of ownRange whose last byte is not 0 or 255.
func ownAddress(number uint32) netip.Addr {
	b := ownRange.Addr().As4()
	b[3] = byte(1 + number%254)
	number /= 254
	b[2] = byte(number)
	b[1] += byte(number>>8) & 0x0f
	return netip.AddrFrom4(b)
}
