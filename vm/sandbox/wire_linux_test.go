package sandbox

import (
	"encoding/binary"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The user-mode network returns frames for a machine that is gone. The bridge must
// not see them.
func TestFramesOfMachinesAreNotForwardedBackToThem(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	tap, bridge := os.NewFile(uintptr(pair[0]), "tap"), os.NewFile(uintptr(pair[1]), "bridge")
	conn, network := net.Pipe()
	w := &wire{tap: tap, conn: conn}
	machine, gateway := [6]byte{0x52, 0x55, 0, 0, 0, 1}, [6]byte{0x5a, 0x94, 0, 0, 0, 1}
	w.machines.Store(machine, true)
	w.pumps.Go(w.receive)
	t.Cleanup(func() {
		_ = network.Close()
		w.pumps.Wait()
		for _, file := range []*os.File{tap, bridge} {
			_ = file.Close()
		}
	})
	frame := func(source [6]byte, payload string) []byte {
		content := append(append([]byte{0x52, 0x55, 0, 0, 0, 2}, source[:]...), payload...)
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...)
	}
	for _, sent := range [][]byte{frame(machine, "an echo"), frame(gateway, "an answer"), frame(machine, "another"), {0, 0, 0, 3, 1, 2, 3}} {
		if _, err := network.Write(sent); err != nil {
			t.Fatal(err)
		}
	}
	buffer := make([]byte, 100)
	for _, want := range []string{string(frame(gateway, "an answer")[4:]), "\x01\x02\x03"} {
		n, err := bridge.Read(buffer)
		if err != nil || string(buffer[:n]) != want {
			t.Errorf("the bridge sees %q, %v; want %q", buffer[:n], err, want)
		}
	}
}
