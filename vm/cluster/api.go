package cluster

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxSANs bounds the further names in a certificate.
const maxSANs = 100

// APIServerNames returns the names and addresses in the certificates of the API
// servers beside those that every cluster has.
func APIServerNames(spec Spec) []string {
	names := append([]string{InternalName(spec.Name)}, spec.APIServerSANs...)
	if address, err := netip.ParseAddr(spec.APIAddress); err == nil && !address.IsUnspecified() {
		names = append(names, address.String())
	}
	return names
}

// APIListeners returns the addresses, with the port, at which the host answers for the
// API: the first is or includes 127.0.0.1, the second may be empty.
func APIListeners(spec Spec) (first, second string) {
	port := strconv.Itoa(spec.APIPort)
	first = "127.0.0.1:" + port
	address, err := netip.ParseAddr(spec.APIAddress)
	switch {
	case err != nil || address == netip.AddrFrom4([4]byte{127, 0, 0, 1}):
		return first, ""
	case address == netip.IPv4Unspecified():
		return "0.0.0.0:" + port, ""
	case address == netip.IPv6Unspecified():
		return "[::]:" + port, ""
	}
	return first, netip.AddrPortFrom(address, uint16(spec.APIPort)).String()
}

// validateAPI returns what is wrong with the settings of the API.
func validateAPI(spec Spec) []error {
	var faults []error
	if spec.APIPort < 0 || spec.APIPort > 65535 {
		faults = append(faults, fmt.Errorf("invalid apiPort %d: use 1 to 65535, or 0 for any free port", spec.APIPort))
	}
	if address, err := netip.ParseAddr(spec.APIAddress); spec.APIAddress != "" && (err != nil || address.Zone() != "" || address.Is4In6() || address.IsMulticast()) {
		faults = append(faults, fmt.Errorf("invalid apiAddress %q: use an address of this host such as 192.168.1.10, or 0.0.0.0 for all", spec.APIAddress))
	}
	if len(spec.APIServerSANs) > maxSANs {
		faults = append(faults, fmt.Errorf("apiServerSANs has %d entries: the maximum is %d", len(spec.APIServerSANs), maxSANs))
	}
	for _, name := range spec.APIServerSANs {
		if address, err := netip.ParseAddr(name); err == nil && address.Zone() == "" && !address.IsUnspecified() {
			continue
		}
		if plain := strings.TrimPrefix(name, "*."); len(name) > 253 || !domain.MatchString(plain) || numeric(plain) {
			faults = append(faults, fmt.Errorf("invalid entry %q of apiServerSANs: use a DNS name such as api.example.com, or an address", name))
		}
	}
	return faults
}

// numeric reports whether a name ends with a number, as only addresses do.
func numeric(name string) bool {
	_, err := strconv.ParseUint(name[strings.LastIndex(name, ".")+1:], 10, 64)
	return err == nil
}
