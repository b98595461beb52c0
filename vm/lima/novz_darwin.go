//go:build darwin && !cgo

package lima

import limadriver "github.com/lima-vm/lima/v2/pkg/driver"

// newVZ is nil: Apple's framework needs cgo, without it QEMU runs the machines.
var newVZ func() limadriver.Driver
