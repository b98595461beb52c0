//go:build darwin && cgo

package lima

import (
	limadriver "github.com/lima-vm/lima/v2/pkg/driver"
	"github.com/lima-vm/lima/v2/pkg/driver/vz"
)

var newVZ = func() limadriver.Driver { return vz.New() }
