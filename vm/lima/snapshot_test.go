package lima

import (
	"testing"

	"github.com/skiff-dev/skiff/vm/driver/saved"
)

func TestACopyBelongsToTheClusterInWhichItIsUnpacked(t *testing.T) {
	d := &Driver{config: Config{Dir: "/h/copy/vm"}}
	other := &Driver{config: Config{Dir: "/elsewhere/dev/vm"}}
	for name, test := range map[string]struct{ disk, want string }{
		"of another cluster": {other.disk("one"), "/h/copy/net.sock"},
		"of the same one":    {d.disk("one"), "/elsewhere/dev/net.sock"},
		"of another machine": {other.disk("two"), "/elsewhere/dev/net.sock"},
	} {
		is := d.moved("one", saved.Origin{Arguments: []string{"/elsewhere/dev/net.sock"}, Disks: []saved.Disk{{Path: test.disk}}})
		if is.Arguments[0] != test.want {
			t.Errorf("%s: %q, want %q", name, is.Arguments, test.want)
		}
	}
	if is := d.moved("one", saved.Origin{Arguments: []string{"/elsewhere/dev/x"}}); is.Arguments[0] != "/elsewhere/dev/x" {
		t.Errorf("without disks: %q", is.Arguments)
	}
}
