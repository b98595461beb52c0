package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
)

func TestRefusedSettingsAreNoFaultOfTheMachine(t *testing.T) {
	f, _ := openAt(t, time.Now())
	e := &executor{core: f.core, op: operation.New(operation.KindApply, nil)}
	refusal := &daemonapi.Failure{Cause: "Kubernetes does not accept the settings", Hint: "correct them"}
	if err := e.fail(t.Context(), "worker-1", daemonapi.PhaseBoot, final{refusal}); err.Error() != refusal.Cause {
		t.Errorf("refused settings: %v", err)
	}
	// The words of a node do not replace those of the host.
	if err := e.fail(t.Context(), "worker-1", daemonapi.PhaseBoot, refusal); !strings.HasPrefix(err.Error(), "worker-1 did not boot: ") {
		t.Errorf("a failure that a node returned: %v", err)
	}
}

func TestOnlyAProgramsErrorIsTakenFromItsOutput(t *testing.T) {
	for output, want := range map[string]string{
		"I1129 started\nskiff-controlplane: build the scheduler:\n  NoSuchPlugin\n": "build the scheduler: NoSuchPlugin",
		"skiff-controlplane: before\nI1129 again\nskiff-controlplane: the last\n":   "the last",
		"skiff-controlplane: \x1b[31mred\x1b[0m \x00and\tspaced\u202e":              "[31mred[0m and spaced",
		"panic: runtime error":                  "panic: runtime error",
		"":                                      "",
		strings.Repeat("ä", maxMessage):         strings.Repeat("ä", maxMessage/2) + "…",
		"a line with skiff-controlplane: in it": "a line with skiff-controlplane: in it",
	} {
		if got := errorIn(output, programControlPlane); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
}
