package sandbox

import (
	"net/netip"
	"testing"

	"github.com/skiff-dev/skiff/vm/network/impair"
)

func TestLinkThatCannotBeImpairedIsTriedAgain(t *testing.T) {
	w, _ := alone(t)
	machine := netip.MustParseAddr("192.168.104.21")
	w.interfaces[machine] = "lo" // which no bridge accepts
	for range 2 {
		if err := w.impair(impair.Links{machine: {Loss: 1}}); err == nil {
			t.Fatal("accepted")
		}
	}
	delete(w.interfaces, machine)
	if err := w.impair(impair.Links{machine: {Loss: 1}}); err != nil || w.shims[machine] == nil {
		t.Errorf("%v, %v", w.shims[machine], err)
	}
	if err := w.impair(nil); err != nil || len(w.shims) > 0 {
		t.Errorf("%v, %v", w.shims, err)
	}
}
