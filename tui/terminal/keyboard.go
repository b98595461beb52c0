// Package terminal reads keys from the terminal of this process for a program
// that uses it temporarily, without consuming keys that are typed later.
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
	reading sync.Mutex // held during Read
}

// Open returns a keyboard that reads from file. Close does not close the file.
func Open(file *os.File) (*Keyboard, error) {
	reader, err := cancelreader.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("open the keyboard: %w", err)
	}
	return &Keyboard{reader: reader}, nil
}

// Read implements io.Reader. It returns an error once the keyboard is closed.
func (k *Keyboard) Read(p []byte) (int, error) {
	k.reading.Lock()
	defer k.reading.Unlock()
	return k.reader.Read(p)
}

// Close interrupts a running Read and waits for it, so that it consumes no
// further key.
func (k *Keyboard) Close() error {
	if k.reader.Cancel() {
		// Wait for Read before closing the reader: epoll drops the pending
		// cancellation event when its descriptor is closed.
		k.reading.Lock()
		defer k.reading.Unlock()
	}
	return k.reader.Close()
}
