package cluster

import (
	"slices"
	"strings"
	"testing"
)

func TestAPIListeners(t *testing.T) {
	for address, want := range map[string][2]string{
		"":             {"127.0.0.1:6443", ""},
		"127.0.0.1":    {"127.0.0.1:6443", ""},
		"127.0.0.9":    {"127.0.0.1:6443", "127.0.0.9:6443"},
		"192.168.1.10": {"127.0.0.1:6443", "192.168.1.10:6443"},
		"2001:db8::1":  {"127.0.0.1:6443", "[2001:db8::1]:6443"},
		"0.0.0.0":      {"0.0.0.0:6443", ""},
		"::":           {"[::]:6443", ""},
	} {
		first, second := APIListeners(Spec{APIPort: 6443, APIAddress: address})
		if first != want[0] || second != want[1] {
			t.Errorf("%q: %q, %q, want %q", address, first, second, want)
		}
	}
}

func TestAPIServerNamesIncludeTheAddress(t *testing.T) {
	spec := Spec{Name: "dev", APIServerSANs: []string{"api.example.com"}, APIAddress: "192.168.1.10"}
	if got, want := APIServerNames(spec), []string{"api.dev.skiff.internal", "api.example.com", "192.168.1.10"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	spec.APIAddress = "0.0.0.0"
	if got, want := APIServerNames(spec), []string{"api.dev.skiff.internal", "api.example.com"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInvalidSettingsOfTheAPIAreNamed(t *testing.T) {
	for name, test := range map[string]struct {
		spec Spec
		want string
	}{
		"port":         {Spec{APIPort: 65536}, "invalid apiPort 65536"},
		"name":         {Spec{APIAddress: "localhost"}, `invalid apiAddress "localhost": use an address of this host`},
		"with port":    {Spec{APIAddress: "192.168.1.10:6443"}, `invalid apiAddress "192.168.1.10:6443"`},
		"zone":         {Spec{APIAddress: "fe80::1%eth0"}, `invalid apiAddress`},
		"multicast":    {Spec{APIAddress: "224.0.0.1"}, `invalid apiAddress`},
		"SAN":          {Spec{APIServerSANs: []string{"https://api.example.com"}}, `invalid entry "https://api.example.com" of apiServerSANs: use a DNS name`},
		"empty SAN":    {Spec{APIServerSANs: []string{""}}, `invalid entry "" of apiServerSANs`},
		"half address": {Spec{APIServerSANs: []string{"192.168.1"}}, `invalid entry "192.168.1" of apiServerSANs`},
		"all":          {Spec{APIServerSANs: []string{"0.0.0.0"}}, `invalid entry "0.0.0.0" of apiServerSANs`},
		"many":         {Spec{APIServerSANs: slices.Repeat([]string{"a.example"}, maxSANs+1)}, "apiServerSANs has 101 entries: the maximum is 100"},
	} {
		faults := validateAPI(test.spec)
		if len(faults) != 1 || !strings.Contains(faults[0].Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, faults, test.want)
		}
	}
	good := Spec{APIPort: 6443, APIAddress: "0.0.0.0", APIServerSANs: []string{"api", "*.example.com", "192.0.2.1", "2001:db8::1"}}
	if faults := validateAPI(good); len(faults) > 0 {
		t.Error(faults)
	}
}
