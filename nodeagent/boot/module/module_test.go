package module

import (
	"slices"
	"strings"
	"testing"
)

const dep = `kernel/net/llc/llc.ko:
kernel/net/802/stp.ko: kernel/net/llc/llc.ko
kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko
# a comment

kernel/drivers/char/hw_random/virtio-rng.ko:
`

func TestDependenciesComeBeforeTheModule(t *testing.T) {
	x, err := Parse(strings.NewReader(dep))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"bridge":     {"kernel/net/llc/llc.ko", "kernel/net/802/stp.ko", "kernel/net/bridge/bridge.ko"},
		"llc":        {"kernel/net/llc/llc.ko"},
		"virtio_rng": {"kernel/drivers/char/hw_random/virtio-rng.ko"},
		"virtio-rng": {"kernel/drivers/char/hw_random/virtio-rng.ko"},
	} {
		if got, ok := x.Order(name); !ok || !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if _, ok := x.Order("ext4"); ok {
		t.Error("a module that is built in was found")
	}
}

func TestParseRefusesALineWithoutAModule(t *testing.T) {
	for _, text := range []string{"kernel/a.ko", ": kernel/a.ko", ".ko: kernel/a.ko"} {
		if _, err := Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestName(t *testing.T) {
	for file, want := range map[string]string{
		"kernel/a/virtio-rng.ko": "virtio_rng", "x.ko.xz": "x", "nf_tables": "nf_tables",
	} {
		if got := Name(file); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(dep)
	f.Fuzz(func(t *testing.T, text string) {
		x, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for name := range x.files {
			order, ok := x.Order(name)
			if !ok || order[len(order)-1] != x.files[name] {
				t.Errorf("%q: order %v does not end in the module", name, order)
			}
		}
	})
}
