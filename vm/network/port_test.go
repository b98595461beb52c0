package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/network/impair"
)

func framed(frames ...[]byte) []byte {
	var all []byte
	for _, frame := range frames {
		all = binary.BigEndian.AppendUint32(all, uint32(len(frame)))
		all = append(all, frame...)
	}
	return all
}

// newTestPort is the port of any machine.
func newTestPort(t testing.TB, conn net.Conn) *port {
	return newPort(conn, &guard{subnet: testSubnet, pods: testPods, gateway: gatewayHardware(t)})
}

// frameOf is a frame of a machine with that much payload.
func frameOf(t testing.TB, payload int) []byte {
	return udpFrame(macOf(workerOne), gatewayHardware(t), port80(workerOne), port80(somewhere), strings.Repeat("x", payload))
}

func TestPortReadsOneFrameAtATimeAndSkipsRunts(t *testing.T) {
	ours, machine := net.Pipe()
	p := newTestPort(t, ours)
	defer func() { _ = p.Close() }()
	first, second := frameOf(t, 20), frameOf(t, 1400)
	go func() {
		_, _ = machine.Write(framed(first, []byte("runt"), nil, second))
		_ = machine.Close()
	}()
	buf := make([]byte, 128<<10)
	for _, want := range [][]byte{first, second} {
		n, err := p.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Fatalf("read %d bytes, %v; want %d", n, err, len(want))
		}
	}
	if _, err := p.Read(buf); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v", err)
	}
	if p.malformed() {
		t.Error("the machine's end counts as malformed")
	}
}

func TestPortRefusesAFrameThatNoLinkCarries(t *testing.T) {
	ours, machine := net.Pipe()
	p := newTestPort(t, ours)
	defer func() { _ = p.Close() }()
	go func() { _, _ = machine.Write([]byte{0xff, 0xff, 0xff, 0xff}) }()
	if _, err := p.Read(make([]byte, 128<<10)); !errors.Is(err, errFrame) || !p.malformed() {
		t.Errorf("read = %v, malformed %t", err, p.malformed())
	}
}

func TestPortNeverWaitsForAMachineThatDoesNotRead(t *testing.T) {
	ours, machine := net.Pipe() // without a buffer: nothing is taken until it is read
	p := newTestPort(t, ours)
	frame := bytes.Repeat([]byte{3}, 100)
	for range 2 * impair.LineLength {
		if n, err := p.Write(frame); n != len(frame) || err != nil {
			t.Fatalf("write = %d, %v", n, err)
		}
	}
	head := make([]byte, 4+len(frame))
	if _, err := io.ReadFull(machine, head); err != nil || !bytes.Equal(head, framed(frame)) {
		t.Errorf("the machine reads %v, %v", head[:4], err)
	}
	_ = machine.Close()
	if _, err := p.Write(frame); err != nil {
		t.Errorf("write after the machine left = %v, want none", err)
	}
	_ = p.Close()
	p.sender.Wait()
}

func FuzzPortReadsAnything(f *testing.F) {
	f.Add(framed(frameOf(f, 20)))
	f.Add(framed(nil, []byte("runt")))
	f.Add([]byte{0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		ours, machine := net.Pipe()
		p := newTestPort(t, ours)
		go func() {
			_, _ = machine.Write(stream)
			_ = machine.Close()
		}()
		buf := make([]byte, 128<<10)
		for {
			n, err := p.Read(buf)
			if err != nil {
				break
			}
			if n < ethernetHeader || n > maxFrame {
				t.Errorf("frame of %d bytes", n)
			}
		}
		_ = p.Close()
		p.sender.Wait()
	})
}
