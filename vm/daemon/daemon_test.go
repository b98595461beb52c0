package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSleptReportsClocksThatDisagree(t *testing.T) {
	for _, test := range []struct {
		wall, monotonic time.Duration
		want            bool
	}{
		{5 * time.Second, 5 * time.Second, false},
		{6 * time.Second, 5 * time.Second, false},
		{time.Hour, 5 * time.Second, true},
		{-time.Hour, 5 * time.Second, true},
	} {
		if got := slept(test.wall, test.monotonic); got != test.want {
			t.Errorf("slept(%s, %s) = %t", test.wall, test.monotonic, got)
		}
	}
}

func TestTheLogHasALimitedSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.log")
	out := &boundedFile{path: path}
	if err := out.open(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	line := []byte(strings.Repeat("x", maxLog/8) + "\n")
	for range 40 {
		if _, err := out.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{path, path + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() > maxLog {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
