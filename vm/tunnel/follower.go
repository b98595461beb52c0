package tunnel

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/network"
)

// period is how often a follower looks for its device.
const period = time.Second

// Config of a Follower.
type Config struct {
	// Device is the name of the cluster's device.
	Device string
	// Address is the host's own in the machines' subnet.
	Address netip.Addr
	// Allows, Dial and Local are those of network.Attachment.
	Allows func(netip.Addr) bool
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Local  func(netip.AddrPort) (take func(net.Conn) bool, own bool)
	Log    *slog.Logger
}

// Follower attaches to the cluster's device whenever that exists.
type Follower struct {
	config   Config
	attached atomic.Bool
}

// NewFollower returns a Follower that does nothing until Run is called.
func NewFollower(config Config) *Follower { return &Follower{config: config} }

// Device returns the name of the device while the follower is attached, or "".
func (f *Follower) Device() string {
	if !f.attached.Load() {
		return ""
	}
	return f.config.Device
}

// Run serves the device, each time it is created, until ctx ends; then it returns nil.
// Where there are no tunnels, it only waits.
func (f *Follower) Run(ctx context.Context) error {
	if Supported() != nil {
		<-ctx.Done()
		return nil
	}
	var last string
	for {
		err := f.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if message := describe(err); message != last {
			last = message
			if message != "" {
				f.config.Log.Warn("the device that connects the host is not served", "device", f.config.Device, "error", message)
			}
		}
		if pause.For(ctx, period) != nil {
			return nil
		}
	}
}

// describe returns what is wrong; nothing for a device that was removed or never
// existed.
func describe(err error) string {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return err.Error()
}

// serve attaches to the device until it is removed.
func (f *Follower) serve(ctx context.Context) error {
	device, err := Open(f.config.Device)
	if err != nil {
		return err
	}
	f.config.Log.Info("the host is connected to the cluster's network", "device", f.config.Device)
	f.attached.Store(true)
	defer f.attached.Store(false)
	err = network.Attach(ctx, network.Attachment{Device: device, Host: f.config.Address, Allows: f.config.Allows, Dial: f.config.Dial, Local: f.config.Local})
	if !Exists(f.config.Device) {
		f.config.Log.Info("the host was disconnected from the cluster's network", "device", f.config.Device)
		return nil
	}
	return err
}
