package impair

import (
	"time"

	"github.com/skiff-dev/skiff/internal/addressing"
)

// LineLength is how many frames may be held back, or wait to be sent, for one machine: at
// most 15 MiB of full frames each, more than a connection has in flight.
const LineLength = max(1024, 6<<20/addressing.MTU)

// Line is a queue of frames, some of which are due later. Like a link, it loses frames when it
// is full. Add may be called concurrently, Next and More by one goroutine.
type Line struct {
	now    chan []byte
	later  chan held
	head   *held // the first of later, taken out
	closed chan struct{}
}

type held struct {
	frame []byte
	due   time.Time
}

// NewLine returns an empty Line, which ends when closed is closed.
func NewLine(closed chan struct{}) *Line {
	return &Line{now: make(chan []byte, LineLength), later: make(chan held, LineLength), closed: closed}
}

// Add adds a frame, which belongs to the Line from then on, and reports whether there
// was room. Frames with a wait keep their order and are overtaken by others.
func (l *Line) Add(frame []byte, wait time.Duration) bool {
	if wait <= 0 {
		select {
		case l.now <- frame:
			return true
		default:
			return false
		}
	}
	select {
	case l.later <- held{frame, time.Now().Add(wait)}:
		return true
	default:
		return false
	}
}

// Next waits for a frame that is due. It returns false once the Line is closed.
func (l *Line) Next() ([]byte, bool) {
	for {
		if l.head == nil {
			select {
			case frame := <-l.now:
				return frame, true
			case first := <-l.later:
				l.head = &first
			case <-l.closed:
				return nil, false
			}
		}
		wait := time.Until(l.head.due)
		if wait <= 0 {
			frame := l.head.frame
			l.head = nil
			return frame, true
		}
		timer := time.NewTimer(wait)
		select {
		case frame := <-l.now:
			timer.Stop()
			return frame, true
		case <-timer.C:
		case <-l.closed:
			timer.Stop()
			return nil, false
		}
	}
}

// More returns another frame if one is waiting that was never held back.
func (l *Line) More() ([]byte, bool) {
	select {
	case frame := <-l.now:
		return frame, true
	default:
		return nil, false
	}
}
