package runtest

import (
	"context"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"testing"
)

func TestAFreePortIsFreeWhileProcessesAreStarted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for ctx.Err() == nil {
				_ = exec.CommandContext(ctx, "true").Run()
			}
		})
	}
	defer starting.Wait()
	defer cancel()
	for range 500 {
		listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(FreePort(t)))))
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
	}
}
