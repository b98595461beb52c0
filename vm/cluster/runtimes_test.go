package cluster

import (
	"strings"
	"testing"
)

func TestOnlyKnownRuntimesAreAccepted(t *testing.T) {
	for _, tt := range []struct{ runtimes, fault string }{
		{"", ""},
		{"gvisor", ""},
		{"gvisor crun", ""},
		{"gvisr", `runtimes: unknown runtime "gvisr": did you mean "gvisor"?`},
		{"gVisor", `runtimes: unknown runtime "gVisor": did you mean "gvisor"?`},
		{"krun", `runtimes: unknown runtime "krun": did you mean "crun"?`},
		{"kata", `runtimes: unknown runtime "kata": choose from crun, gvisor`},
		{"../crun/", `runtimes: unknown runtime "../crun/": choose from crun, gvisor`},
		{"runc", "runtimes: runc is every node's default runtime: leave it out"},
		{"crun crun", "runtimes: crun is listed twice"},
	} {
		faults := Validate(with(func(s *Spec) { s.Runtimes = strings.Fields(tt.runtimes) }), Host{CPUs: 8, MemoryMiB: 64 << 10, DiskFreeMiB: 64 << 10}, 0)
		switch {
		case tt.fault == "" && len(faults) > 0:
			t.Errorf("%q: %v", tt.runtimes, faults)
		case tt.fault != "" && (len(faults) != 1 || faults[0].Error() != tt.fault):
			t.Errorf("%q: %v, want %q", tt.runtimes, faults, tt.fault)
		}
	}
}
