package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestPlainProgressPrintsAPhaseOncePerNode(t *testing.T) {
	var out bytes.Buffer
	running := func(node, message string) daemonapi.Event {
		return daemonapi.Event{Node: node, Phase: daemonapi.PhaseBoot, State: daemonapi.StateRunning, Message: message}
	}
	err := Streams{Out: &out}.Show(t.Context(), false, func(_ context.Context, event func(daemonapi.Event)) error {
		event(running("worker-1", ""))
		event(running("worker-2", ""))
		event(running("worker-1", ""))
		event(running("worker-1", "starting again"))
		event(daemonapi.Event{Node: "worker-1", Phase: daemonapi.PhaseBoot, State: daemonapi.StateDone})
		event(running("worker-1", ""))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 5 {
		t.Errorf("%d lines, want 5:\n%s", lines, out.String())
	}
}
