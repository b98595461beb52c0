package image

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"
)

func TestEveryReaderOfAFanGetsEverything(t *testing.T) {
	for _, size := range []int{0, 1, chunkBytes, 3*chunkBytes + 1, 2 * chunksAhead * chunkBytes} {
		content := make([]byte, size)
		_, _ = rand.Read(content)
		readers, wait := fan(iotest.HalfReader(bytes.NewReader(content)), 3)
		var all sync.WaitGroup
		for _, r := range readers {
			all.Go(func() {
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes: got %d, %v", size, len(got), err)
				}
			})
		}
		all.Wait()
		wait()
	}
}

// endless never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestAFanWaitsForNoClosedReader(t *testing.T) {
	content := make([]byte, 2*chunksAhead*chunkBytes)
	readers, wait := fan(bytes.NewReader(content), 2)
	_ = readers[0].Close()
	if got, err := io.ReadAll(readers[1]); err != nil || len(got) != len(content) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	wait()
	readers, wait = fan(endless{}, 2)
	for _, r := range readers {
		_ = r.Close()
		_ = r.Close()
	}
	wait()
}

func TestReadersOfAFanSeeItsError(t *testing.T) {
	readers, wait := fan(io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(io.ErrUnexpectedEOF)), 2)
	for _, r := range readers {
		if got, err := io.ReadAll(r); string(got) != "abc" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %q, %v", got, err)
		}
	}
	wait()
}
