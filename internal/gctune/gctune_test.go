package gctune_test

import (
	"math"
	"runtime/debug"
	"testing"

	"github.com/skiff-dev/skiff/internal/gctune"
)

const mebibyte = int64(1) << 20

func TestControlPlaneLimitsFollowTheMachine(t *testing.T) {
	for _, tt := range []struct {
		totalMiB int64
		want     gctune.Limits
	}{
		{512, gctune.Limits{Percent: 40, Bytes: 256 * mebibyte}},
		{1024, gctune.Limits{Percent: 40, Bytes: 1024 * mebibyte * 2 / 5}},
		{2048, gctune.Limits{Percent: 60, Bytes: 2048 * mebibyte * 2 / 5}},
		{4096, gctune.Limits{Percent: 80, Bytes: 4096 * mebibyte * 2 / 5}},
		{24576, gctune.Limits{Percent: 100, Bytes: 24576 * mebibyte * 2 / 5}},
	} {
		if got := gctune.ControlPlane().Limits(tt.totalMiB * mebibyte); got != tt.want {
			t.Errorf("%d MiB: got %+v, want %+v", tt.totalMiB, got, tt.want)
		}
	}
}

func TestNodeAgentsCollectMoreOftenOnSmallMachines(t *testing.T) {
	last := 0
	for _, memory := range []int64{512 << 20, 1 << 30, 2 << 30, 4 << 30, 16 << 30} {
		limits := gctune.NodeAgent().Limits(memory)
		if limits.Percent < last {
			t.Errorf("%d MiB: %d %%, less than with less memory", memory>>20, limits.Percent)
		}
		if limits.Bytes < 96<<20 || limits.Bytes > memory/2 {
			t.Errorf("%d MiB: limit %d MiB", memory>>20, limits.Bytes>>20)
		}
		last = limits.Percent
	}
}

func TestApplySetsTheRuntimesLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		gogc, gomemlimit string
		percent          int
		bytes            int64
	}{
		"nothing set":         {percent: 40, bytes: 1 << 30},
		"the user set GOGC":   {gogc: "70", percent: 123, bytes: 1 << 30},
		"the user set memory": {gomemlimit: "5GiB", percent: 40, bytes: math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", tt.gogc)
			t.Setenv("GOMEMLIMIT", tt.gomemlimit)
			defer debug.SetGCPercent(debug.SetGCPercent(123))
			defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
			limits := gctune.Limits{Percent: 40, Bytes: 1 << 30}
			limits.Delay()
			if percent := debug.SetGCPercent(123); tt.gogc == "" && percent != -1 {
				t.Errorf("delayed, GOGC is %d", percent)
			}
			limits.Apply()
			if percent := debug.SetGCPercent(123); percent != tt.percent {
				t.Errorf("GOGC is %d, want %d", percent, tt.percent)
			}
			if bytes := debug.SetMemoryLimit(-1); bytes != tt.bytes {
				t.Errorf("GOMEMLIMIT is %d, want %d", bytes, tt.bytes)
			}
		})
	}
}
