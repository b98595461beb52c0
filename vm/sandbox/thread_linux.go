package sandbox

import "runtime"

// thread is an operating system thread that lives until it is closed. Programs that
// are started from it die with this process (PR_SET_PDEATHSIG refers to the
// thread), and it can be in namespaces of its own.
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

// do runs a function on the thread, which must not be closed.
func (t *thread) do(call func() error) error {
	result := make(chan error, 1)
	t.calls <- func() { result <- call() }
	return <-result
}

// close ends the thread. It must be called once.
func (t *thread) close() {
	close(t.calls)
	<-t.done
}
