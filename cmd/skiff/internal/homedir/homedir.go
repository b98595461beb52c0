// Package homedir gives the process a home directory before anything needs one.
//
// Lima's packages read HOME while they are initialized and panic without it, as
// under systemd, cloud-init and some CI runners. This package imports nothing but
// a few packages of the standard library, so that it is initialized before them:
// Go initializes, at each step, the first package by import path whose imports are
// initialized (Go specification, "Program initialization"), and each of Lima's
// packages waits for others that follow this one.
package homedir

import (
	"os"
	"os/user"
)

var _ = ensure()

// ensure sets HOME to the user's home directory if it is unset or empty. A user
// without one gets "/", as in containers.
func ensure() error {
	if os.Getenv("HOME") != "" {
		return nil
	}
	dir := "/"
	if u, err := user.Current(); err == nil && u.HomeDir != "" {
		dir = u.HomeDir
	}
	return os.Setenv("HOME", dir)
}
