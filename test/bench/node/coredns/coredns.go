//go:build tools

// Package coredns pins the DNS server that upstream's clusters run, whole as it
// is released, apart from the parts of it that Skiff links.
package coredns

import _ "github.com/coredns/coredns"
