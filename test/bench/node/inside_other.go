//go:build !linux

package main

import "errors"

// inside needs network namespaces.
func (c *cluster) inside(string, func() error) error {
	return errors.New("nodes that are namespaces need Linux")
}
