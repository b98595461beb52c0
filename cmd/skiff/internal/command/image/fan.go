package image

import (
	"io"
	"sync"
)

const (
	// chunkBytes is how much a fan reads at once, chunksAhead how many chunks the
	// slowest reader may be behind.
	chunkBytes  = 1 << 20
	chunksAhead = 16
)

// fan returns readers that all read the content of from, which is read once. Each must
// be read to its end or closed, or the others wait for it. wait returns when from is not
// read any more: at its end, or when all readers are closed.
func fan(from io.Reader, readers int) (all []io.ReadCloser, wait func()) {
	var branches []*branch
	for range readers {
		b := &branch{chunks: make(chan []byte, chunksAhead), closed: make(chan struct{})}
		branches, all = append(branches, b), append(all, b)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		err := spread(from, branches)
		for _, b := range branches {
			b.err = err
			close(b.chunks)
		}
	})
	return all, reading.Wait
}

// spread returns the error that ends every branch, io.EOF at the end of from.
func spread(from io.Reader, branches []*branch) error {
	for {
		chunk, err := read(from)
		wanted := false
		for _, b := range branches {
			wanted = b.send(chunk) || wanted
		}
		if err != nil {
			return err
		}
		if !wanted {
			return io.ErrClosedPipe
		}
	}
}

// read reads a chunk, which is shorter only before an error.
func read(from io.Reader) (chunk []byte, err error) {
	chunk = make([]byte, chunkBytes)
	n := 0
	for n < len(chunk) && err == nil {
		var more int
		more, err = from.Read(chunk[n:])
		n += more
	}
	return chunk[:n], err
}

// branch is one reader of a fan.
type branch struct {
	chunks chan []byte
	closed chan struct{}
	once   sync.Once
	rest   []byte
	err    error // after chunks is closed
}

// send returns false if the branch is closed.
func (b *branch) send(chunk []byte) bool {
	select {
	case <-b.closed:
		return false
	default:
	}
	select {
	case b.chunks <- chunk:
		return true
	case <-b.closed:
		return false
	}
}

func (b *branch) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		chunk, open := <-b.chunks
		if !open {
			return 0, b.err
		}
		b.rest = chunk
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *branch) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}
