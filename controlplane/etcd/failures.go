package etcd

import "sync"

// failures keeps the first error of a member.
type failures struct {
	first    chan error
	followed chan struct{} // closed when etcd has no further errors

	mu     sync.Mutex // guards closed
	closed bool
}

func newFailures() *failures {
	return &failures{first: make(chan error, 1), followed: make(chan struct{})}
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	select {
	case f.first <- err:
	default:
	}
}

// follow adds errors until the channel is closed.
func (f *failures) follow(errs <-chan error) {
	defer close(f.followed)
	for err := range errs {
		f.add(err)
	}
}

// close waits for the end of follow and ends the channel first.
func (f *failures) close() {
	<-f.followed
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.first)
	}
}
