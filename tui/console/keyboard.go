package console

import (
	"bytes"
	"io"
	"os"
	"sync/atomic"

	"github.com/skiff-dev/skiff/tui/terminal"
)

// Keys that keyboard handles itself, as a terminal in raw mode sends them.
const (
	interruptKey = 0x03 // ctrl+c
	detachKey    = 0x1d // ctrl+]
)

// typeAhead is how many reads are buffered for a program that is not reading.
const typeAhead = 64

// keyboard passes the keys of the terminal to a remote program. It reads no key
// after Close: the next one belongs to the dashboard.
type keyboard struct {
	*io.PipeReader
	reader *terminal.Keyboard
	// responded is set once the program has written something. Until then ctrl+c
	// detaches, because there may be no program to receive it.
	responded atomic.Bool
	// detachable makes ctrl+] detach at any time.
	detachable bool
	detach     func()
}

// newKeyboard reads from file, a terminal in raw mode. It calls detach, possibly
// more than once, when the user wants to return to the dashboard.
func newKeyboard(file *os.File, detachable bool, detach func()) (*keyboard, error) {
	reader, err := terminal.Open(file)
	if err != nil {
		return nil, err
	}
	out, in := io.Pipe()
	k := &keyboard{PipeReader: out, reader: reader, detachable: detachable, detach: detach}
	typed := make(chan []byte, typeAhead)
	go k.read(typed)
	go func() {
		for chunk := range typed {
			if _, err := in.Write(chunk); err != nil {
				break
			}
		}
		_ = in.Close()
	}()
	return k, nil
}

// read passes keys on until the keyboard is closed.
func (k *keyboard) read(typed chan<- []byte) {
	defer close(typed)
	buffer := make([]byte, 4096)
	for {
		n, err := k.reader.Read(buffer)
		chunk := buffer[:n]
		if k.detachable && bytes.IndexByte(chunk, detachKey) >= 0 || !k.responded.Load() && bytes.IndexByte(chunk, interruptKey) >= 0 {
			k.detach()
			return
		}
		if n > 0 {
			select {
			case typed <- bytes.Clone(chunk):
			default: // the buffer is full: drop keys, as a terminal does
			}
		}
		if err != nil {
			return
		}
	}
}

// watch returns a writer to out that records that the program has responded.
func (k *keyboard) watch(out io.Writer) io.Writer { return responseWriter{out, &k.responded} }

// Close stops reading. It does not close the terminal.
func (k *keyboard) Close() error {
	_ = k.PipeReader.Close()
	return k.reader.Close()
}

type responseWriter struct {
	io.Writer
	responded *atomic.Bool
}

// Write implements io.Writer.
func (w responseWriter) Write(p []byte) (int, error) {
	w.responded.Store(true)
	return w.Writer.Write(p)
}
