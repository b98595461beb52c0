package network

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKernelSettingsAreChangedOnlyIfTheyDiffer(t *testing.T) {
	for _, test := range []struct {
		name         string
		change       func(path string, value int)
		before, want string
	}{
		{"lower limit", setAtLeast, "8192\n", "65536"},
		{"higher limit", setAtLeast, "262144\n", "262144\n"},
		{"shorter timeout", set, "60\n", "65536"},
		{"longer timeout", set, "432000\n", "65536"},
		{"same timeout", set, "65536\n", "65536\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "setting")
			if err := os.WriteFile(path, []byte(test.before), 0o644); err != nil {
				t.Fatal(err)
			}
			test.change(path, 65536)
			if got, err := os.ReadFile(path); err != nil || string(got) != test.want {
				t.Errorf("%q, %v, want %q", got, err, test.want)
			}
		})
	}
	set(filepath.Join(t.TempDir(), "absent"), 1) // only logged
}
