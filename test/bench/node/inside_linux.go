package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inside calls a function in a node's network namespace. Sockets that it opens stay
// there.
func (c *cluster) inside(node string, do func() error) error {
	first, err := c.first(node)
	if err != nil {
		return err
	}
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", first))
	if err != nil {
		return err
	}
	defer func() { _ = namespace.Close() }()
	done := make(chan error, 1)
	go func() {
		// Not unlocked: the runtime ends the thread with the goroutine.
		runtime.LockOSThread()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the network of %s: %w", node, err)
			return
		}
		done <- do()
	}()
	return <-done
}
