// Package terminal reads the keys of this process' terminal for a program that
// borrows it: when that has ended, the next key is for whoever reads then.
package terminal

import (
	"fmt"
	"os"
	"sync"

	"github.com/muesli/cancelreader"
)

// Keyboard reads from a terminal until it is closed.
type Keyboard struct {
	reader  cancelreader.CancelReader
	reading sync.Mutex // held while a Read is under way
}

// Open reads from file, which stays open.
func Open(file *os.File) (*Keyboard, error) {
	reader, err := cancelreader.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("read the keyboard: %w", err)
	}
	return &Keyboard{reader: reader}, nil
}

// Read is io.Reader's; it ends with an error when the keyboard is closed.
func (k *Keyboard) Read(p []byte) (int, error) {
	k.reading.Lock()
	defer k.reading.Unlock()
	return k.reader.Read(p)
}

// Close ends a Read that is under way, and returns when it takes no key any
// more.
func (k *Keyboard) Close() error {
	if k.reader.Cancel() {
		// Closed sooner, the cancellation may be lost: the kernel forgets what
		// woke the reader.
		k.reading.Lock()
		defer k.reading.Unlock()
	}
	return k.reader.Close()
}
