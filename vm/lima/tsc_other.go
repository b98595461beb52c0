//go:build !amd64

package lima

// tscKHz returns 0: this host has no time stamp counter.
func tscKHz() uint64 { return 0 }
