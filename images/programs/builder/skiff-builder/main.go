// Command skiff-builder is BuildKit on a node: its solver over the node's containerd,
// with the frontend for Dockerfiles. It serves BuildKit's API on a unix socket. Layers
// that it keeps for the next build never use more than a part of the node's disk. It
// ends when no client has been connected for some time.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
)

// What the program finds on every node.
const (
	socket           = "/run/skiff/builder.sock"
	stateDir         = "/var/lib/skiff/builder/state"
	containerdSocket = "/run/containerd/containerd.sock"
	// namespace is the kubelet's, so that a Dockerfile can refer to images of the node.
	namespace = "k8s.io"
	// registries is what containerd itself reads: pulls go through the host's registry.
	registries = "/etc/containerd/certs.d"
	// podNetwork connects the steps of a build as pods are.
	podNetwork = "/etc/cni/net.d/10-skiff.conflist"
	cniPlugins = "/opt/cni/bin"
)

const (
	// idleTime is how long the program waits for a client.
	idleTime = 10 * time.Minute
	// stopTime is how long cancelled builds have to end their containers.
	stopTime = 5 * time.Second
	// maxMessage bounds a message of the API, in bytes, as in BuildKit's own daemon.
	maxMessage = 16 << 20
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "skiff-builder:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends or nobody has used the program for idleTime.
func run(ctx context.Context) error {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return err
	}
	controller, err := newController(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := controller.Close(); err != nil {
			slog.Warn("close the state", "error", err)
		}
	}()
	listener, err := listen(ctx)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	controller.Register(server)
	watched := &watched{Listener: listener, changed: make(chan int, 1)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(watched) }()
	slog.Info("serving", "socket", socket)
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	case <-watched.idle(idleTime):
		slog.Info("no client", "for", idleTime)
	}
	time.AfterFunc(stopTime, server.Stop)
	server.GracefulStop()
	return nil
}

// listen creates the socket. One that is left of a killed process is replaced.
func listen(ctx context.Context) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(socket, 0o600)
}
