package kube

import (
	"bytes"
	"io"
	"os"
	"sync/atomic"

	"github.com/skiff-dev/skiff/tui/terminal"
)

// Keys that keyboard watches for, as a terminal in raw mode sends them.
const (
	interruptKey = 0x03 // ctrl+c
	leaveKey     = 0x1d // ctrl+]
)

// typeAhead is how many reads wait for a program that does not read yet.
const typeAhead = 64

// keyboard hands what is typed to a program elsewhere. It reads no key after
// close: the next one is for the dashboard.
type keyboard struct {
	*io.PipeReader
	reader *terminal.Keyboard
	// heard is set when the program has said something. Until then ctrl+c
	// leaves: it may be that nobody is there to get it.
	heard atomic.Bool
	// leavable: ctrl+] leaves, always.
	leavable bool
	leave    func()
}

// newKeyboard reads from file, a terminal in raw mode; leave is called, maybe
// more than once, when the person wants to go back.
func newKeyboard(file *os.File, leavable bool, leave func()) (*keyboard, error) {
	reader, err := terminal.Open(file)
	if err != nil {
		return nil, err
	}
	out, in := io.Pipe()
	k := &keyboard{PipeReader: out, reader: reader, leavable: leavable, leave: leave}
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

// read passes on what is typed until the keyboard is closed.
func (k *keyboard) read(typed chan<- []byte) {
	defer close(typed)
	buffer := make([]byte, 4096)
	for {
		n, err := k.reader.Read(buffer)
		chunk := buffer[:n]
		if k.leavable && bytes.IndexByte(chunk, leaveKey) >= 0 || !k.heard.Load() && bytes.IndexByte(chunk, interruptKey) >= 0 {
			k.leave()
			return
		}
		if n > 0 {
			select {
			case typed <- bytes.Clone(chunk):
			default: // nobody has read for long; a terminal drops keys then, too
			}
		}
		if err != nil {
			return
		}
	}
}

// listen returns out, and notes when something is written there.
func (k *keyboard) listen(out io.Writer) io.Writer { return listener{out, &k.heard} }

// Close ends the reading; it does not close the terminal.
func (k *keyboard) Close() error {
	_ = k.PipeReader.Close()
	return k.reader.Close()
}

type listener struct {
	io.Writer
	heard *atomic.Bool
}

// Write is io.Writer's.
func (l listener) Write(p []byte) (int, error) {
	l.heard.Store(true)
	return l.Writer.Write(p)
}
