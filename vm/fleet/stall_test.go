package fleet

import (
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/driver"
)

func TestDiskProblemsSayWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		stalled map[string]string
		free    int
		want    []string
	}{
		"enough room": {nil, 5000, nil},
		"little room": {nil, 700, []string{"Only 700 MiB are free where /h is"}},
		"full": {map[string]string{"worker-2": driver.StallNoSpace, "worker-1": driver.StallNoSpace}, 3, []string{
			"worker-1 is halted: the host's disk is full. Free at least 256 MiB where /h is (3 MiB are free)", "worker-2 is halted",
		}},
		"broken": {map[string]string{"worker-1": driver.StallDiskError}, 5000, []string{"then run \"skiff resume\""}},
	} {
		got := diskProblems(test.stalled, test.free, "/h")
		if len(got) != len(test.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i, want := range test.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("%s: %q, want %q", name, got[i], want)
			}
		}
	}
}
