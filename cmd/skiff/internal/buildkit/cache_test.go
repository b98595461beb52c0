package buildkit

import (
	"context"
	"net"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// cache is a builder that keeps two layers, of which a build uses one.
type cache struct {
	controlapi.UnimplementedControlServer
}

func (cache) DiskUsage(context.Context, *controlapi.DiskUsageRequest) (*controlapi.DiskUsageResponse, error) {
	return &controlapi.DiskUsageResponse{Record: []*controlapi.UsageRecord{{ID: "free", Size: 5}, {ID: "used", Size: 7, InUse: true}}}, nil
}

func (cache) Prune(r *controlapi.PruneRequest, out controlapi.Control_PruneServer) error {
	if !r.All {
		return nil
	}
	return out.Send(&controlapi.UsageRecord{ID: "free", Size: 5})
}

func TestOnlyWhatNoBuildUsesCountsAsCache(t *testing.T) {
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	controlapi.RegisterControlServer(server, cache{})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	dial := func(ctx context.Context) (net.Conn, error) { return listener.DialContext(ctx) }
	if got, err := Usage(t.Context(), dial); got != 5 || err != nil {
		t.Errorf("usage %d, %v", got, err)
	}
	if got, err := Prune(t.Context(), dial); got != 5 || err != nil {
		t.Errorf("pruned %d, %v", got, err)
	}
	server.Stop()
	if _, err := Prune(t.Context(), dial); err == nil {
		t.Error("no error without a builder")
	}
}
