// Package upstream runs upstream's complete chain of API servers, to compare ours with
// it in tests and to generate OpenAPI documents.
package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/controlplane/apiserver"
	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/controlplane/openapi"
	"github.com/skiff-dev/skiff/controlplane/server/servertest"
	"github.com/skiff-dev/skiff/controlplane/transport"
)

// Documents returns the OpenAPI documents of built-in types as upstream's code builds
// them, by their name in an archive of package openapi.
func Documents(ctx context.Context) (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "skiff-openapi-")
	if err != nil {
		return nil, fmt.Errorf("create a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	node, err := servertest.Write(dir, netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		return nil, err
	}
	pki := filepath.Join(dir, "pki")
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	member, err := etcd.Start(ctx, etcd.Settings{
		Cluster: node.Cluster, Name: node.Name, Address: node.Network.Address.Addr(), Members: node.Etcd.Members,
		Dir: filepath.Join(dir, "etcd"), PKIDir: pki, ClientPort: ports[0], PeerPort: ports[1],
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	defer member.Stop()
	built, err := apiserver.New(ctx, apiserver.Settings{
		Address: node.Network.Address.Addr(), Port: ports[2],
		ServiceCIDR: node.Kubernetes.ServiceCIDR, Domain: node.Kubernetes.DNSDomain,
		PKIDir: pki, DialEtcd: member.Dial, NewEtcdClient: member.NewClient, EtcdCompactRevision: member.CompactRevision, BuildOpenAPI: true,
	}, transport.NewServer())
	if err != nil {
		return nil, err
	}
	handler, err := built.Delegate()
	if err != nil {
		return nil, err
	}
	return openapi.Fetch(handler)
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
