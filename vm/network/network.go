// Package network is the cluster's network in user mode: machines reach each
// other and the outside, the host reaches the machines, and no machine reaches
// what listens on the host's loopback. It needs no privilege and lives in the
// daemon's process.
package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"github.com/containers/gvisor-tap-vsock/pkg/virtualnetwork"
)

// MTU of every link.
const MTU = 1500

// gatewayMAC is the gateway's hardware address; nothing depends on its value.
const gatewayMAC = "5a:94:ef:e4:0c:dd"

// Config of a Network.
type Config struct {
	// Socket is the unix socket at which machines join, in QEMU's protocol (a
	// frame behind its length, 32 bits big-endian). Its directory belongs to the
	// user alone.
	Socket string
	// Subnet of the machines; the gateway, which also answers names as the host
	// resolves them, has its second address.
	Subnet netip.Prefix
	Log    *slog.Logger
}

// Gateway of a machines' subnet.
func Gateway(subnet netip.Prefix) netip.Addr {
	return subnet.Masked().Addr().Next().Next()
}

// Network is a running network.
type Network struct {
	config   Config
	virtual  *virtualnetwork.VirtualNetwork
	listener net.Listener
	ports    sync.WaitGroup
}

// New makes the network and listens at its socket; machines can join once Run
// is called. The protocol stack cannot be taken apart again, so a process makes
// one Network for each cluster that it serves.
func New(config Config) (*Network, error) {
	gateway := Gateway(config.Subnet).String()
	virtual, err := virtualnetwork.New(&types.Configuration{
		MTU: MTU, Subnet: config.Subnet.Masked().String(),
		GatewayIP: gateway, GatewayMacAddress: gatewayMAC, GatewayVirtualIPs: []string{gateway},
	})
	if err != nil {
		return nil, fmt.Errorf("make the user-mode network: %w", err)
	}
	// The caller holds the cluster's lock: a socket that exists is a dead one.
	if err := os.Remove(config.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("make the user-mode network: %w", err)
	}
	listener, err := net.Listen("unix", config.Socket)
	if err != nil {
		return nil, fmt.Errorf("make the user-mode network: %w", err)
	}
	if err := os.Chmod(config.Socket, 0o600); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("make the user-mode network: %w", err)
	}
	return &Network{config: config, virtual: virtual, listener: listener}, nil
}

// Close stops to listen, for a Network that is not Run.
func (n *Network) Close() error { return n.listener.Close() }

// Run lets machines join until ctx ends; then it parts from them, removes the
// socket and returns nil.
func (n *Network) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer n.ports.Wait()
	defer cancel()
	release := context.AfterFunc(ctx, func() { _ = n.listener.Close() })
	defer release()
	defer func() { _ = n.listener.Close() }()
	for {
		conn, err := n.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a machine: %w", err)
		}
		n.ports.Go(func() { n.serve(ctx, conn) })
	}
}

func (n *Network) serve(ctx context.Context, conn net.Conn) {
	p := newPort(conn)
	stop := context.AfterFunc(ctx, func() { _ = p.Close() })
	defer stop()
	// The switch ends when the machine leaves; that is no failure.
	err := n.virtual.AcceptBess(ctx, p)
	if p.malformed() {
		n.config.Log.Warn("machine sent what is no frame", "error", err)
	}
	_ = p.Close()
	p.sender.Wait()
}

// DialContext connects to a machine; address is IP:PORT, network "tcp".
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" {
		return nil, fmt.Errorf("dial %s: the network speaks tcp, not %s", address, network)
	}
	conn, err := n.virtual.DialContextTCP(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}
