//go:build !linux

package sandbox

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network/impair"
)

// Driver exists on Linux only.
type Driver struct{ driver.Driver }

// Unpacker exists on Linux only.
type Unpacker struct{}

// Unpack fails.
func (Unpacker) Unpack(context.Context, string, string, string, bool) error { return Available() }

// DialContext fails.
func (*Driver) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, Available()
}

// SetRoutes fails.
func (*Driver) SetRoutes([]machine.Route) error { return Available() }

// Impair fails.
func (*Driver) Impair(impair.Links) error { return Available() }

// PutFile fails.
func (*Driver) PutFile(context.Context, []string, string, string, io.Reader) error {
	return Available()
}

// Available returns driver.ErrUnavailable.
func Available() error {
	return fmt.Errorf("%w: the sandbox driver needs Linux; use --driver lima", driver.ErrUnavailable)
}

// New fails.
func New(context.Context, Config) (*Driver, error) { return nil, Available() }

// EndStray does nothing: there are no sandboxes.
func EndStray(string) error { return nil }
