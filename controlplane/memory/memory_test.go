package memory_test

import (
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/memory"
)

const mebibyte = int64(1) << 20

func TestLimitsFollowTheMachine(t *testing.T) {
	for _, tt := range []struct {
		totalMiB int64
		want     memory.Limits
	}{
		{512, memory.Limits{Percent: 40, Bytes: 256 * mebibyte}},
		{1024, memory.Limits{Percent: 40, Bytes: 1024 * mebibyte * 2 / 5}},
		{2048, memory.Limits{Percent: 60, Bytes: 2048 * mebibyte * 2 / 5}},
		{4096, memory.Limits{Percent: 80, Bytes: 4096 * mebibyte * 2 / 5}},
		{24576, memory.Limits{Percent: 100, Bytes: 24576 * mebibyte * 2 / 5}},
	} {
		if got := memory.For(tt.totalMiB * mebibyte); got != tt.want {
			t.Errorf("%d MiB: got %+v, want %+v", tt.totalMiB, got, tt.want)
		}
	}
}

func TestTotalReadsMeminfo(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"MemTotal:       16384 kB\nMemFree: 1 kB\n", 16 * mebibyte, true},
		{"MemFree: 1 kB\nMemTotal: 1 kB\n", 1024, true},
		{"MemTotal: many kB\n", 0, false},
		{"MemTotal: -5 kB\n", 0, false},
		{"MemTotal: 9223372036854775807 kB\n", 0, false},
		{"", 0, false},
	} {
		got, err := memory.Total(strings.NewReader(tt.text))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: got %d, %v", tt.text, got, err)
		}
	}
}

func TestApplyWorksHere(t *testing.T) {
	if l, err := memory.Apply(); err != nil || l.Bytes <= 0 {
		t.Fatalf("%+v, %v", l, err)
	}
}

func FuzzTotal(f *testing.F) {
	f.Add("MemTotal:       16384 kB\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := memory.Total(strings.NewReader(text)); err == nil && got <= 0 {
			t.Fatalf("%q: %d bytes", text, got)
		}
	})
}
