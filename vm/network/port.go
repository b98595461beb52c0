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
	// maxFrame is the largest frame that the switch has room for.
	maxFrame = 64 << 10
	// queueLength is how many frames may wait for one machine: 6 MB of full
	// frames, more than a connection has in flight.
	queueLength = 4096
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
	queue  chan []byte
	closed chan struct{}
	once   sync.Once
	sender sync.WaitGroup
	bad    atomic.Bool
}

func newPort(conn net.Conn, guard *guard) *port {
	p := &port{
		Conn: conn, guard: guard, reader: bufio.NewReaderSize(conn, maxFrame),
		queue: make(chan []byte, queueLength), closed: make(chan struct{}),
	}
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
		if p.guard.admit(p, b[:size]) {
			return size, nil
		}
	}
}

// Write queues one frame. It always succeeds; if the queue is full, the frame is
// lost, as on a wire.
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

// malformed reports whether the machine sent something that is not a frame.
func (p *port) malformed() bool { return p.bad.Load() }

// send writes queued frames, as many at once as are waiting.
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
			// Read fails for the same reason and tells the switch.
			_ = p.Conn.Close()
			return
		}
	}
}
