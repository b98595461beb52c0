package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

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
