package impair

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

var (
	host  = netip.MustParseAddr("192.168.104.2")
	one   = netip.MustParseAddr("192.168.104.21")
	two   = netip.MustParseAddr("192.168.104.22")
	three = netip.MustParseAddr("192.168.104.23")
)

const (
	tcp = 6
	udp = 17
)

func hardware(a netip.Addr) []byte {
	mac := addressing.Hardware(a)
	if a == host {
		mac = [6]byte{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd}
	}
	return mac[:]
}

// packet is a frame with an IPv4 packet of a whole TCP segment or datagram.
func packet(from, to netip.Addr, protocol byte, source, destination uint16) []byte {
	frame := append(append([]byte{}, hardware(to)...), hardware(from)...)
	frame = binary.BigEndian.AppendUint16(frame, typeIPv4)
	ip := make([]byte, ipv4Header+20)
	ip[0], ip[9] = 0x45, protocol
	a, b := from.As4(), to.As4()
	copy(ip[12:], a[:])
	copy(ip[16:], b[:])
	binary.BigEndian.PutUint16(ip[20:], source)
	binary.BigEndian.PutUint16(ip[22:], destination)
	return append(frame, ip...)
}

func arp(from, target netip.Addr) []byte {
	frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, hardware(from)...)
	frame = binary.BigEndian.AppendUint16(frame, typeARP)
	body := make([]byte, arpLength)
	a, b := from.As4(), target.As4()
	copy(body[14:], a[:])
	copy(body[24:], b[:])
	return append(frame, body...)
}

func fragment(frame []byte) []byte {
	frame[ethernetHeader+7] = 1
	return frame
}

// passes reports whether a frame gets from a machine's link to that of another, as far
// as these are impaired.
func passes(links Links, from, to netip.Addr, frame []byte) bool {
	p := &Port{Hosts: []netip.Addr{host}}
	if links[from] != (Link{}) && p.Send(links, frame, time.Now()).Drop {
		return false
	}
	return links[to] == (Link{}) || !p.Receive(links, to, frame, time.Now()).Drop
}

func TestPartitionSeparatesItsMachinesFromAllOthers(t *testing.T) {
	together := Links{one: {Cuts: 1}, two: {Cuts: 1}}
	apart := Links{one: {Cuts: 1}, two: {Cuts: 2}}
	both := Links{one: {Cuts: 1}, two: {Cuts: 3}}
	const api, other = nodeconfig.PortNodeAPI, 8080
	for what, c := range map[string]struct {
		links    Links
		from, to netip.Addr
		frame    []byte
		want     bool
	}{
		"within":                 {together, one, two, packet(one, two, tcp, 1, other), true},
		"to another machine":     {together, one, three, packet(one, three, tcp, 1, other), false},
		"from another machine":   {together, three, one, packet(three, one, udp, 1, other), false},
		"to the outside":         {together, one, host, packet(one, host, tcp, 1, other), false},
		"from the host":          {together, host, one, packet(host, one, tcp, 1, other), false},
		"of others":              {together, three, host, packet(three, host, tcp, 1, other), true},
		"of two partitions":      {apart, one, two, packet(one, two, tcp, 1, other), false},
		"in one and in both":     {both, one, two, packet(one, two, tcp, 1, other), false},
		"the node API":           {together, host, one, packet(host, one, tcp, 1, api), true},
		"its answer":             {together, one, host, packet(one, host, tcp, api, 1), true},
		"of another machine":     {together, three, one, packet(three, one, tcp, 1, api), false},
		"by UDP":                 {together, host, one, packet(host, one, udp, 1, api), false},
		"a fragment":             {together, host, one, fragment(packet(host, one, tcp, 1, api)), false},
		"to the host's own port": {together, one, host, packet(one, host, tcp, 1, api), false},
		"ARP for the host":       {together, one, host, arp(one, host), true},
		"ARP of the host":        {together, host, one, arp(host, one), true},
		"ARP of another machine": {together, three, one, arp(three, one), false},
		"ARP within":             {together, one, two, arp(one, two), true},
	} {
		if got := passes(c.links, c.from, c.to, c.frame); got != c.want {
			t.Errorf("%s: passes %v, want %v", what, got, c.want)
		}
	}
}

func TestDamagedFramesAreLost(t *testing.T) {
	links, p := Links{one: {Cuts: 1}}, &Port{Hosts: []netip.Addr{host}}
	for _, frame := range [][]byte{nil, packet(two, one, tcp, 1, 2)[:10], packet(two, one, tcp, 1, 2)[:20], arp(two, one)[:20]} {
		if p.Receive(links, one, frame, time.Now()) == (Verdict{}) {
			t.Errorf("%x passes", frame)
		}
		_ = p.Send(links, frame, time.Now()) // does not panic
	}
}

func TestDelayHoldsWhatAMachineReceives(t *testing.T) {
	links, p := Links{one: {Delay: time.Second}}, &Port{Hosts: []netip.Addr{host}}
	frame := packet(two, one, tcp, 1, 2)
	if got := p.Receive(links, one, frame, time.Now()); got != (Verdict{Wait: time.Second}) {
		t.Errorf("received: %+v", got)
	}
	if got := p.Send(links, packet(one, two, tcp, 1, 2), time.Now()); got != (Verdict{}) {
		t.Errorf("sent: %+v", got)
	}
	if got := p.Receive(links, one, packet(host, one, tcp, 1, nodeconfig.PortNodeAPI), time.Now()); got != (Verdict{}) {
		t.Errorf("the node API: %+v", got)
	}
}

func TestLossIsAsFrequentAsItsProbability(t *testing.T) {
	links, p := Links{one: {Loss: 0.3}}, &Port{}
	sent, received := 0, 0
	const frames = 10000
	for range frames {
		if p.Send(links, packet(one, two, tcp, 1, 2), time.Now()).Drop {
			sent++
		}
		if p.Receive(links, one, packet(two, one, tcp, 1, 2), time.Now()).Drop {
			received++
		}
	}
	for _, count := range []int{sent, received} {
		if count < frames*25/100 || count > frames*35/100 {
			t.Errorf("%d of %d frames are lost", count, frames)
		}
	}
	if (Links{one: {Loss: 1}})[one].Loss == 1 && passes(Links{one: {Loss: 1}}, two, one, packet(two, one, tcp, 1, 2)) {
		t.Error("a frame passes although all are lost")
	}
}

func TestRateIsKeptInEachDirection(t *testing.T) {
	links, p := Links{one: {BitsPerSecond: 1_000_000}}, &Port{}
	frame := append(packet(two, one, tcp, 1, 2), make([]byte, 1250-ethernetHeader-ipv4Header-20)...) // 10 ms each
	now, begun := time.Now(), time.Now()
	for range 200 {
		verdict := p.Receive(links, one, frame, now)
		if verdict.Drop {
			t.Fatal("a frame is lost although the sender waits")
		}
		now = now.Add(verdict.Wait)
	}
	if took := now.Sub(begun); took < 1900*time.Millisecond || took > 2*time.Second {
		t.Errorf("200 frames of 10 ms take %s", took)
	}
	dropped := 0
	for range 200 {
		if p.Receive(links, one, frame, now).Drop {
			dropped++
		}
	}
	if dropped < 100 || dropped > 160 {
		t.Errorf("%d of 200 frames are lost if the sender does not wait", dropped)
	}
	if verdict := p.Send(links, packet(one, two, tcp, 1, 2), now); verdict != (Verdict{}) {
		t.Errorf("the other direction: %+v", verdict)
	}
	if verdict := p.Receive(Links{one: {BitsPerSecond: 1_000_000_000}}, one, frame, now); verdict != (Verdict{}) {
		t.Errorf("after a change of the rate: %+v", verdict)
	}
}

func TestLineHoldsFramesUntilTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan struct{})
		l := NewLine(closed)
		l.Add([]byte("second"), 2*time.Second)
		l.Add([]byte("third"), 3*time.Second)
		begun := time.Now()
		go func() {
			time.Sleep(time.Second)
			l.Add([]byte("first"), 0)
		}()
		for i, want := range []string{"first", "second", "third"} {
			frame, ok := l.Next()
			if got := time.Since(begun); !ok || string(frame) != want || got != time.Duration(i+1)*time.Second {
				t.Errorf("%q after %s, want %q", frame, got, want)
			}
		}
		if _, more := l.More(); more {
			t.Error("there is another frame")
		}
		close(closed)
		if _, ok := l.Next(); ok {
			t.Error("a closed line has a frame")
		}
	})
}

func TestFullLineLosesFrames(t *testing.T) {
	l := NewLine(make(chan struct{}))
	for i := range 2 * LineLength {
		if ok := l.Add(nil, 0); ok != (i < LineLength) {
			t.Fatalf("frame %d: %v", i, ok)
		}
	}
}

// FuzzPort checks that no frame makes the port panic.
func FuzzPort(f *testing.F) {
	f.Add(packet(one, two, tcp, 1, 2))
	f.Add(arp(one, host))
	f.Fuzz(func(_ *testing.T, frame []byte) {
		p, links := &Port{Hosts: []netip.Addr{host}}, Links{one: {Cuts: 1, Loss: 0.5, BitsPerSecond: 1000}}
		p.Send(links, frame, time.Time{})
		p.Receive(links, one, frame, time.Time{})
	})
}
