// Package unixsocket listens on unix sockets that only the user can connect to.
package unixsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
)

// Listen returns a listener on the unix socket at path that only this user can
// connect to. It replaces the socket that an earlier process left, so the caller
// makes sure that no other process serves there.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove an earlier socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("restrict a socket to its user: %w", err), listener.Close())
	}
	return listener, nil
}
