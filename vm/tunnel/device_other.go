//go:build !linux

package tunnel

import (
	"errors"
	"io"
)

var errUnsupported = errors.New("connecting this host to a cluster's network is available on Linux only for now; use `skiff port add`, or the names below localhost")

// Supported returns an error with one line for users if this system has no tunnels.
func Supported() error { return errUnsupported }

// Create fails.
func Create(Plan, int) error { return errUnsupported }

// Remove does nothing: there are no devices.
func Remove(string) error { return nil }

// Release does nothing: there are no devices.
func Release(string) error { return nil }

// Exists returns false.
func Exists(string) bool { return false }

// Open fails.
func Open(string) (io.ReadWriteCloser, error) { return nil, errUnsupported }

// Routes fails.
func Routes() ([]Route, error) { return nil, errUnsupported }
