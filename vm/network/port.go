package network

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

const (
	// minFrame is an Ethernet header; the switch reads that much of any frame.
	minFrame = 14
	// maxFrame is what the switch has room for.
	maxFrame = 64 << 10
	// queueLength is how many frames wait for one machine. At full frames it is
	// 6 MB, more than a connection has in flight.
	queueLength = 4096
	// batchLength is how many frames are written with one system call.
	batchLength = 64
)

var errFrame = errors.New("malformed frame")

// port is one machine's place at the switch: a connection on which every Read
// and Write is one frame. It stands between the switch and QEMU because the
// switch trusts what it reads, and waits for whoever does not read: here
// a machine that hangs loses its own frames and holds up nobody, and a write
// never fails, which the switch does not survive
// while it still reads from the same machine.
type port struct {
	net.Conn
	reader *bufio.Reader
	queue  chan []byte
	closed chan struct{}
	once   sync.Once
	sender sync.WaitGroup
	bad    atomic.Bool
}

func newPort(conn net.Conn) *port {
	p := &port{
		Conn: conn, reader: bufio.NewReaderSize(conn, maxFrame),
		queue: make(chan []byte, queueLength), closed: make(chan struct{}),
	}
	p.sender.Go(p.send)
	return p
}

// Read reads one frame into b. Frames shorter than an Ethernet header are
// skipped; one above maxFrame or b ends the connection.
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
		if size >= minFrame {
			return size, nil
		}
	}
}

// Write queues one frame. It always succeeds; a full queue loses the frame, as
// a wire does.
func (p *port) Write(b []byte) (int, error) {
	frame := make([]byte, 4+len(b))
	binary.BigEndian.PutUint32(frame, uint32(len(b)))
	copy(frame[4:], b)
	select {
	case p.queue <- frame:
	default:
	}
	return len(b), nil
}

// Close ends Read and the sender.
func (p *port) Close() error {
	p.once.Do(func() { close(p.closed) })
	return p.Conn.Close()
}

// malformed says whether the machine sent what is no frame.
func (p *port) malformed() bool { return p.bad.Load() }

// send writes queued frames, as many at once as there are.
func (p *port) send() {
	for {
		var frames net.Buffers
		select {
		case frame := <-p.queue:
			frames = append(frames, frame)
		case <-p.closed:
			return
		}
		for more := true; more && len(frames) < batchLength; {
			select {
			case frame := <-p.queue:
				frames = append(frames, frame)
			default:
				more = false
			}
		}
		if _, err := frames.WriteTo(p.Conn); err != nil {
			// The reading side sees the same end and tells the switch.
			_ = p.Conn.Close()
			return
		}
	}
}
