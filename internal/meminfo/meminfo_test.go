package meminfo_test

import (
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/meminfo"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want meminfo.Info
		ok   bool
	}{
		{"MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:   8192 kB\n", meminfo.Info{TotalBytes: 16 << 20, AvailableBytes: 8 << 20}, true},
		{"MemFree: 1 kB\nMemTotal: 1 kB\n", meminfo.Info{TotalBytes: 1024}, true},
		{"MemTotal: many kB\n", meminfo.Info{}, false},
		{"MemTotal: -5 kB\n", meminfo.Info{}, false},
		{"MemTotal: 0 kB\n", meminfo.Info{}, false},
		{"MemTotal: 9223372036854775807 kB\n", meminfo.Info{}, false},
		{"MemTotal: 1 kB\nMemAvailable: x\n", meminfo.Info{}, false},
		{"", meminfo.Info{}, false},
		{strings.Repeat("x", 128<<10), meminfo.Info{}, false},
	} {
		got, err := meminfo.Parse(strings.NewReader(tt.text))
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%.60q: got %+v, %v", tt.text, got, err)
		}
	}
}

func TestReadReturnsThisMachinesMemory(t *testing.T) {
	if got, err := meminfo.Read(); err != nil || got.TotalBytes <= 0 || got.AvailableBytes > got.TotalBytes {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("MemTotal:       16384 kB\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := meminfo.Parse(strings.NewReader(text)); err == nil && (got.TotalBytes <= 0 || got.AvailableBytes < 0) {
			t.Fatalf("%q: %+v", text, got)
		}
	})
}
