package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// stallLimit is how long a download may go without a byte.
const stallLimit = time.Minute

// errMismatch is returned for content that does not match its digest.
var errMismatch = errors.New("the content does not match its digest")

// download is a blob on its way into the cache, which can be read meanwhile.
type download struct {
	cancel context.CancelFunc
	begun  chan struct{} // closed once size is known or the download has ended
	ended  chan struct{} // closed at the end

	mu      sync.Mutex    // guards the fields below
	file    *os.File      // nil before it begins
	size    int64         // -1 if it is not known before the end
	written int64         // bytes in file
	err     error         // why it failed
	more    chan struct{} // closed and replaced whenever written grows
	readers int           // callers that have not closed it; the download ends with the last
	holders int           // readers, and the download itself; the last one closes file
}

func newDownload(cancel context.CancelFunc) *download {
	return &download{
		cancel: cancel, begun: make(chan struct{}), ended: make(chan struct{}),
		size: -1, more: make(chan struct{}), readers: 1, holders: 2,
	}
}

// join adds a reader, and reports false if the download ends because it had none.
func (f *download) join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers == 0 {
		return false
	}
	f.readers++
	f.holders++
	return true
}

// leave removes a reader.
func (f *download) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers--; f.readers == 0 {
		f.cancel()
	}
	f.release()
}

// release closes the file once nobody holds it. The caller holds f.mu.
func (f *download) release() {
	if f.holders--; f.holders == 0 && f.file != nil {
		_ = f.file.Close()
	}
}

// open waits until the content can be read. The caller has joined.
func (f *download) open(ctx context.Context) (io.ReadSeekCloser, error) {
	for _, known := range []<-chan struct{}{f.begun, f.ended} {
		select {
		case <-ctx.Done():
			f.leave()
			return nil, ctx.Err()
		case <-known:
		}
		f.mu.Lock()
		size, err := f.size, f.err
		f.mu.Unlock()
		if err != nil {
			f.leave()
			return nil, err
		}
		if size >= 0 {
			return &arriving{download: f, ctx: ctx, size: size, close: sync.OnceFunc(f.leave)}, nil
		}
	}
	f.leave()
	return nil, errors.New("the download ended without a size")
}

// begin makes the file readable.
func (f *download) begin(file *os.File, size int64) {
	f.mu.Lock()
	f.file, f.size = file, size
	f.mu.Unlock()
	close(f.begun)
}

// end records the result.
func (f *download) end(err error) {
	f.mu.Lock()
	f.err = err
	if err == nil {
		f.size = f.written
	}
	if f.file == nil {
		close(f.begun)
	}
	close(f.more)
	f.more = nil
	f.release()
	f.mu.Unlock()
	close(f.ended)
}

// Write appends to the file.
func (f *download) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written += int64(n)
	close(f.more)
	f.more = make(chan struct{})
	return n, err
}

// arriving reads a download.
type arriving struct {
	*download
	ctx    context.Context // that of the request that reads
	size   int64
	offset int64
	close  func()
}

// Read waits until there is something to read. The last bytes are read only after
// the content was verified and stored.
func (a *arriving) Read(p []byte) (int, error) {
	if a.offset >= a.size {
		if err := a.awaitEnd(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	for {
		a.mu.Lock()
		written, more, err := a.written, a.more, a.err
		a.mu.Unlock()
		switch {
		case err != nil:
			return 0, err
		case written > a.offset:
			n, err := a.file.ReadAt(p[:min(int64(len(p)), written-a.offset)], a.offset)
			if a.offset+int64(n) >= a.size {
				if err := a.awaitEnd(); err != nil {
					return 0, err
				}
			}
			a.offset += int64(n)
			return n, err
		}
		select {
		case <-more:
		case <-a.ctx.Done():
			return 0, a.ctx.Err()
		}
	}
}

// awaitEnd waits for the end of the download and returns why it failed.
func (a *arriving) awaitEnd() error {
	select {
	case <-a.ended:
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Seek implements io.Seeker.
func (a *arriving) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += a.offset
	case io.SeekEnd:
		offset += a.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the start")
	}
	a.offset = offset
	return offset, nil
}

// Close lets the download end if nobody else reads it.
func (a *arriving) Close() error {
	a.close()
	return nil
}

// download runs a download from its start to its end.
func (c *Cache) download(ctx context.Context, d digest.Digest, flight *download, fetch Fetch) {
	defer flight.cancel()
	size, err := c.receive(ctx, d, flight, fetch)
	if err == nil {
		c.add(d, size)
	}
	c.mu.Lock()
	if c.downloads[d] == flight {
		delete(c.downloads, d)
	}
	c.mu.Unlock()
	flight.end(err)
}

// receive writes the content to a file and, if it matches the digest, moves that to
// its place.
func (c *Cache) receive(ctx context.Context, d digest.Digest, flight *download, fetch Fetch) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	content, size, err := fetch(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = content.Close() }()
	if size > c.config.LimitBytes {
		return 0, fmt.Errorf("%s has %d bytes, more than the whole cache", d, size)
	}
	file, err := os.CreateTemp(c.incoming(), d.Encoded()+".*")
	if err != nil {
		return 0, err
	}
	temporary := file.Name()
	defer func() { _ = os.Remove(temporary) }()
	flight.begin(file, size)
	verifier := d.Verifier()
	stall := time.AfterFunc(stallLimit, func() { cancel(errors.New("the registry stopped sending")) })
	defer stall.Stop()
	n, err := io.Copy(io.MultiWriter(flight, verifier), &alive{io.LimitReader(content, c.config.LimitBytes), stall})
	switch {
	case err != nil && context.Cause(ctx) != nil:
		return 0, context.Cause(ctx)
	case err != nil:
		return 0, err
	case size >= 0 && n != size || !verifier.Verified():
		return 0, fmt.Errorf("%s: %w", d, errMismatch)
	}
	return n, atomicfile.Install(temporary, c.blobFile(d), 0o600)
}

// alive postpones a timer whenever something is read.
type alive struct {
	io.Reader
	stall *time.Timer
}

func (a *alive) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.stall.Reset(stallLimit)
	}
	return n, err
}
