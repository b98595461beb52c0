package archive

import (
	"archive/tar"
	"errors"
	"io"
	"path"
	"sync"
)

// Divert returns the tar in r without the files that take takes. take is called with
// the name, as in Layer, and the size of each file, and reads content only if it takes
// the file; its error ends the tar. r is read to its end, beyond that of the tar.
// The caller closes the result, after which r is not read any more.
func Divert(r io.Reader, take func(file string, size int64, content io.Reader) (taken bool, err error)) io.ReadCloser {
	out, in := io.Pipe()
	d := &diverted{PipeReader: out}
	d.reading.Go(func() {
		err := divert(in, r, take)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		_ = in.CloseWithError(err) // without an error, the reader gets io.EOF
	})
	return d
}

// diverted is the result of Divert.
type diverted struct {
	*io.PipeReader
	reading sync.WaitGroup
}

// Close waits for the read that is in progress, if any.
func (d *diverted) Close() error {
	err := d.PipeReader.Close()
	d.reading.Wait()
	return err
}

func divert(w io.Writer, r io.Reader, take func(string, int64, io.Reader) (bool, error)) error {
	from, to := tar.NewReader(r), tar.NewWriter(w)
	for {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			return to.Close()
		}
		if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeReg {
			taken, err := take(path.Clean(header.Name), header.Size, from)
			if err != nil {
				return err
			}
			if taken {
				continue
			}
		}
		if err := to.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(to, from); err != nil {
			return err
		}
	}
}
