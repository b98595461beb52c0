package saved

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// pageSize is the unit in which zeros are skipped, in bytes, whatever the host's pages are.
const pageSize = 4096

// chunk is how much is read at once, in bytes; a multiple of pageSize.
const chunk = 1 << 20

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zeros      = make([]byte, pageSize)
)

// Interrupted is called between parts of a copy, and ends it with the error that it returns.
type Interrupted func() error

// Copy copies the pages of source that are not zero to the same places of target, which has
// only zeros, and gives target the length of source. Holes of source are not read.
func Copy(target, source *os.File, interrupted Interrupted) (File, error) {
	info, err := source.Stat()
	if err != nil {
		return File{}, err
	}
	sum := File{Bytes: info.Size()}
	if err := target.Truncate(sum.Bytes); err != nil {
		return File{}, err
	}
	err = read(source, sum.Bytes, interrupted, func(part []byte, at int64) (err error) {
		sum.CRC32C, err = copyPages(target, part, at, sum.CRC32C)
		return err
	})
	return sum, err
}

// Sum returns what Copy of a file returns.
func Sum(file *os.File, interrupted Interrupted) (File, error) {
	info, err := file.Stat()
	if err != nil {
		return File{}, err
	}
	sum := File{Bytes: info.Size()}
	err = read(file, sum.Bytes, interrupted, func(part []byte, at int64) (err error) {
		sum.CRC32C, err = copyPages(nowhere{}, part, at, sum.CRC32C)
		return err
	})
	return sum, err
}

// nowhere takes what is written and drops it.
type nowhere struct{}

func (nowhere) WriteAt(content []byte, _ int64) (int, error) { return len(content), nil }

// read calls do with all parts of the first size bytes of a file that are not in holes. Each
// part begins with a page, and all but the last end with one.
func read(file *os.File, size int64, interrupted Interrupted, do func(part []byte, at int64) error) error {
	buffer := make([]byte, min(chunk, size))
	for at := int64(0); at < size; {
		begin, end, err := data(file, at, size)
		if err != nil {
			return err
		}
		for at = begin; at < end; {
			if err := interrupted(); err != nil {
				return err
			}
			part := buffer[:min(chunk, end-at)]
			if _, err := file.ReadAt(part, at); err != nil {
				return err
			}
			if err := do(part, at); err != nil {
				return err
			}
			at += int64(len(part))
		}
		at = end
	}
	return nil
}

// data returns the bounds of the next whole pages with data in the first size bytes of a
// file, from at on; two times size if there are none.
func data(file *os.File, at, size int64) (begin, end int64, err error) {
	begin, err = file.Seek(at, seekData)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return size, size, nil
	case errors.Is(err, syscall.EINVAL): // a file system that does not tell
		return at, size, nil
	case err != nil:
		return 0, 0, err
	}
	if end, err = file.Seek(begin, seekHole); err != nil {
		return 0, 0, err
	}
	begin = max(begin/pageSize*pageSize, at)
	end = (end + pageSize - 1) / pageSize * pageSize
	return min(begin, size), min(end, size), nil
}

// copyPages writes the pages of part, which begins at an offset of source, that are not
// zero, and returns the sum with them.
func copyPages(target io.WriterAt, part []byte, offset int64, sum uint32) (uint32, error) {
	number := make([]byte, 8)
	first := 0 // where the pages begin that have not been written
	write := func(end int) error {
		if first == end {
			return nil
		}
		_, err := target.WriteAt(part[first:end], offset+int64(first))
		return err
	}
	for at := 0; at < len(part); at += pageSize {
		page := part[at:min(at+pageSize, len(part))]
		if bytes.Equal(page, zeros[:len(page)]) {
			if err := write(at); err != nil {
				return 0, err
			}
			first = at + len(page)
			continue
		}
		binary.LittleEndian.PutUint64(number, uint64(offset+int64(at))/pageSize)
		sum = crc32.Update(crc32.Update(sum, castagnoli, number), castagnoli, page)
	}
	return sum, write(len(part))
}

// CopyStream copies source, at most limit bytes, to target.
func CopyStream(target io.Writer, source io.Reader, limit int64) (File, error) {
	digest := crc32.New(castagnoli)
	n, err := io.Copy(io.MultiWriter(target, digest), io.LimitReader(source, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	return File{Bytes: n, CRC32C: digest.Sum32()}, err
}

// diskSpace returns the space that a file takes on disk, in bytes; 0 if it is unknown.
func diskSpace(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return Allocated(info)
}

// Allocated returns the space that a file takes, without its holes, in bytes; 0 if it is
// unknown.
func Allocated(info fs.FileInfo) int64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return stat.Blocks * 512
}
