package sandbox

import "runtime"

// thread is one thread of the kernel's that lives until it is closed: what is
// started from it dies when this process does (PR_SET_PDEATHSIG is about the
// thread), and it may be in a network namespace of its own.
type thread struct {
	calls chan func()
	done  chan struct{}
}

func newThread() *thread {
	t := &thread{calls: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		// Never unlocked: the runtime ends the thread with the goroutine.
		runtime.LockOSThread()
		for call := range t.calls {
			call()
		}
	}()
	return t
}

// do runs a function on the thread, which is not closed.
func (t *thread) do(call func() error) error {
	result := make(chan error, 1)
	t.calls <- func() { result <- call() }
	return <-result
}

// close is called once.
func (t *thread) close() {
	close(t.calls)
	<-t.done
}
