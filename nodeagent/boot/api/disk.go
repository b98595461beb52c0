package api

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

const (
	// fillerName is the file that uses up a disk on purpose.
	fillerName = ".skiff-full"
	// refill is how often the disk is filled again, because programs free space.
	refill = time.Second
	// longestFull bounds how long a disk is full.
	longestFull = 24 * time.Hour
)

// Filler fills a disk on purpose. Free also removes the file that an earlier process left.
type Filler struct {
	// Dir is where the disk is mounted.
	Dir string
	// Allocate enlarges the open file by bytes that use space on the disk; nil means
	// fallocate(2).
	Allocate func(f *os.File, offset, bytes int64) error

	mu   sync.Mutex    // guards what follows
	end  chan struct{} // closed to end the goroutine that keeps the disk full; nil if there is none
	done chan struct{} // closed when it has ended
}

func (f *Filler) path() string { return filepath.Join(f.Dir, fillerName) }

// Free ends what Fill began, in this process or an earlier one.
func (f *Filler) Free() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.free()
}

func (f *Filler) free() error {
	if f.end != nil {
		close(f.end)
		<-f.done // the file's space is free once it is closed
		f.end = nil
	}
	if err := os.Remove(f.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("free the disk: %w", err)
	}
	return nil
}

// Fill fills the disk, keeps it full, and frees it after length.
func (f *Filler) Fill(length time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.free(); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	if err := f.grow(file); err != nil {
		return errors.Join(fmt.Errorf("fill the disk: %w", err), file.Close(), f.free())
	}
	f.end, f.done = make(chan struct{}), make(chan struct{})
	go f.keep(file, f.end, f.done, length)
	return nil
}

// keep keeps the disk full until end is closed or length is over.
func (f *Filler) keep(file *os.File, end, done chan struct{}, length time.Duration) {
	defer close(done)
	defer func() { _ = file.Close() }()
	over := time.NewTimer(length)
	defer over.Stop()
	again := time.NewTicker(refill)
	defer again.Stop()
	for {
		select {
		case <-end:
			return
		case <-over.C:
			go f.expire(end)
			return
		case <-again.C:
			_ = f.grow(file)
		}
	}
}

// expire frees the disk, unless it has been freed or filled again.
func (f *Filler) expire(end chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end == end {
		_ = f.free()
	}
}

// grow adds space to the file, in steps that get smaller, until none is left.
func (f *Filler) grow(file *os.File) error {
	allocate := f.Allocate
	if allocate == nil {
		allocate = func(file *os.File, offset, bytes int64) error {
			return unix.Fallocate(int(file.Fd()), 0, offset, bytes)
		}
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	for step := int64(1 << 30); step >= 4<<10; {
		switch err := allocate(file, size, step); {
		case err == nil:
			size += step
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EFBIG):
			step /= 4
		default:
			return err
		}
	}
	return nil
}

func (s *Server) disk(w http.ResponseWriter, r *http.Request) {
	var request nodeapi.DiskRequest
	if !decode(w, r, &request) {
		return
	}
	if math.IsNaN(request.FullSeconds) || request.FullSeconds < 0 || request.FullSeconds > longestFull.Seconds() {
		http.Error(w, fmt.Sprintf("invalid time of %g s: a disk is full for at most %s", request.FullSeconds, longestFull), http.StatusBadRequest)
		return
	}
	if s.Filler == nil {
		http.Error(w, "the disk of this node is the host's", http.StatusUnprocessableEntity)
		return
	}
	err := s.Filler.Free()
	if err == nil && request.FullSeconds > 0 {
		err = s.Filler.Fill(time.Duration(request.FullSeconds * float64(time.Second)))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
