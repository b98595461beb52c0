package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestCollectorSparesSmallMachinesMoreMemory(t *testing.T) {
	last := 0
	for _, memory := range []uint64{512 << 20, 1 << 30, 2 << 30, 4 << 30, 16 << 30} {
		percent, limit := collector(memory)
		if percent < last {
			t.Errorf("%d MiB: %d %%, less than with less memory", memory>>20, percent)
		}
		if limit < 96<<20 || uint64(limit) > memory/2 {
			t.Errorf("%d MiB: limit %d MiB", memory>>20, limit>>20)
		}
		last = percent
	}
}

func TestAPartThatFailsIsRunAgainUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		err := again(ctx, "part", func(context.Context) error {
			if runs++; runs == 3 {
				cancel()
			}
			return errors.New("failed")
		})
		if err != nil || runs != 3 {
			t.Errorf("%d runs, %v", runs, err)
		}
	})
}

func TestWithoutATokenThereIsNothingToBootstrapWith(t *testing.T) {
	config := Config{RunDir: "/run/skiff/agent"}
	if got := kubeletPaths(config).Bootstrap; got != "" {
		t.Errorf("bootstraps with %s", got)
	}
	config.Node.BootstrapToken = "abcdef.0123456789abcdef"
	if got := kubeletPaths(config).Bootstrap; got == "" {
		t.Error("does not bootstrap")
	}
}
