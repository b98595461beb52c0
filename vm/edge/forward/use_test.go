package forward

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/cluster"
)

func TestConnectionsAndFlowsAreUsesUntilTheyEnd(t *testing.T) {
	began, let, ended := make(chan bool, 9), make(chan bool), make(chan bool, 9)
	f, err := New(Config{
		File: filepath.Join(t.TempDir(), "services.json"), Dial: (&net.Dialer{}).DialContext, Log: slog.New(slog.DiscardHandler),
		Use: func(ctx context.Context) (func(), error) {
			began <- true
			select {
			case <-let:
				return func() { ended <- true }, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	b := newBackend(t)
	states := f.apply(t,
		Listener{ID: "tcp", Protocol: cluster.ProtocolTCP, Address: loopback, Port: runtest.FreePort(t), Target: leadsTo(b)},
		Listener{ID: "udp", Protocol: cluster.ProtocolUDP, Address: loopback, Port: runtest.FreePort(t), Target: leadsTo(b)},
	)
	for _, network := range []string{"tcp", "udp"} {
		conn := dial(t, network, states[network].Bound)
		go func() {
			<-began
			let <- true
		}()
		if !echoes(conn, "hello") {
			t.Errorf("%s: what was sent before the cluster was awake has no answer", network)
		}
		if len(ended) > 0 {
			t.Errorf("%s: the use has ended before the connection", network)
		}
		_ = conn.Close()
		if network == "udp" { // a flow ends when it is idle for long, or with its listener
			f.apply(t, Listener{ID: "tcp", Protocol: cluster.ProtocolTCP, Address: loopback, Port: states["tcp"].Bound, Target: leadsTo(b)})
		}
		<-ended
	}
	waiting := dial(t, "tcp", states["tcp"].Bound)
	<-began
	f.apply(t) // ends the listener
	if _, err := waiting.Read(make([]byte, 1)); err == nil {
		t.Error("a connection that waits is open after its listener")
	}
}
