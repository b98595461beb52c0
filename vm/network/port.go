package network

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skiff-dev/skiff/vm/network/impair"
)

const (
	// maxFrame is the largest frame that the switch has room for.
	maxFrame = 64 << 10
	// batchLength is how many frames one system call writes at most.
	batchLength = 64
)

var errFrame = errors.New("malformed frame")

// port connects one machine to the switch: every Read and Write is one frame. It
// exists because the switch trusts what it reads and waits for machines that do
// not read. A port drops the frames of a machine that hangs, so that it delays no
// other, and its Write never fails, since the switch does not survive a failed
// write to a machine that it still reads from.
type port struct {
	net.Conn
	guard  *guard
	reader *bufio.Reader
	queue  *impair.Line
	closed chan struct{}
	link   impair.Port
	self   atomic.Pointer[netip.Addr] // of the machine, once it has sent a frame
	once   sync.Once
	sender sync.WaitGroup
	bad    atomic.Bool
}

func newPort(conn net.Conn, guard *guard) *port {
	p := &port{
		Conn: conn, guard: guard, reader: bufio.NewReaderSize(conn, maxFrame), closed: make(chan struct{}),
		link: impair.Port{Hosts: []netip.Addr{Gateway(guard.subnet)}},
	}
	p.queue = impair.NewLine(p.closed)
	p.sender.Go(p.send)
	return p
}

// Read reads one frame into b. Frames that the guard rejects are skipped; one that
// is larger than maxFrame or b ends the connection.
func (p *port) Read(b []byte) (int, error) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(p.reader, head[:]); err != nil {
			return 0, err
		}
		size := int(binary.BigEndian.Uint32(head[:]))
		if size > min(maxFrame, len(b)) {
			p.bad.Store(true)
			return 0, fmt.Errorf("%w: %d bytes", errFrame, size)
		}
		if _, err := io.ReadFull(p.reader, b[:size]); err != nil {
			return 0, err
		}
		if p.guard.admit(p, b[:size]) && p.leaves(b[:size]) {
			return size, nil
		}
	}
}

// leaves waits until a frame of the machine has passed its link. It returns false if the
// frame is lost there.
func (p *port) leaves(frame []byte) bool {
	if self, ok := machineAddress(hardwareAddress(frame[6:12])); ok && p.self.Load() == nil {
		p.self.Store(&self)
	}
	links := p.guard.links.Load()
	if links == nil {
		return true
	}
	verdict := p.link.Send(*links, frame, time.Now())
	verdict.Hold(p.closed)
	return !verdict.Drop
}

// arrives returns what happens to a frame on the machine's link.
func (p *port) arrives(frame []byte) impair.Verdict {
	links, self := p.guard.links.Load(), p.self.Load()
	if links == nil || self == nil {
		return impair.Verdict{}
	}
	return p.link.Receive(*links, *self, frame, time.Now())
}

// Write queues one frame. It always succeeds; if the queue is full, the frame is
// lost, as on a wire.
func (p *port) Write(b []byte) (int, error) {
	verdict := p.arrives(b)
	if verdict.Drop {
		return len(b), nil
	}
	frame := make([]byte, 4+len(b))
	binary.BigEndian.PutUint32(frame, uint32(len(b)))
	copy(frame[4:], b)
	p.queue.Add(frame, verdict.Wait)
	return len(b), nil
}

// Close ends Read and the sender.
func (p *port) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Conn.Close()
}

// malformed reports whether the machine sent something that is not a frame.
func (p *port) malformed() bool { return p.bad.Load() }

// send writes queued frames, as many at once as are waiting.
func (p *port) send() {
	for {
		first, ok := p.queue.Next()
		if !ok {
			return
		}
		frames := net.Buffers{first}
		for len(frames) < batchLength {
			frame, ok := p.queue.More()
			if !ok {
				break
			}
			frames = append(frames, frame)
		}
		if _, err := frames.WriteTo(p.Conn); err != nil {
			// Read fails for the same reason and tells the switch.
			_ = p.Conn.Close()
			return
		}
	}
}
