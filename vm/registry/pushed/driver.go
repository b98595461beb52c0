package pushed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sync"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// driverName is the name of the storage driver in distribution's table.
const driverName = "skiff"

// parameterRoot is the driver's only parameter, a directory.
const parameterRoot = "rootdirectory"

// register adds the storage driver to distribution's table, which allows it once.
var register = sync.OnceFunc(func() { factory.Register(driverName, driverFactory{}) })

type driverFactory struct{}

// Create implements factory.StorageDriverFactory.
func (driverFactory) Create(_ context.Context, parameters map[string]any) (storagedriver.StorageDriver, error) {
	root, ok := parameters[parameterRoot].(string)
	if !ok {
		return nil, errors.New("the storage driver has no directory")
	}
	return &driver{root}, nil
}

// driver stores files below a directory. A small file, such as a manifest or a tag,
// is written completely or not at all; distribution's own driver may leave a part,
// which the registry then takes for the whole manifest.
type driver struct{ root string }

// Name implements storagedriver.StorageDriver.
func (d *driver) Name() string { return driverName }

// file returns the file that a path of distribution stands for.
func (d *driver) file(name string) (string, error) {
	if name != "/" && (!storagedriver.PathRegexp.MatchString(name) || path.Clean(name) != name) {
		return "", storagedriver.InvalidPathError{Path: name, DriverName: driverName}
	}
	return filepath.Join(d.root, filepath.FromSlash(name)), nil
}

// notFound turns the error about a missing file into distribution's.
func notFound(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return storagedriver.PathNotFoundError{Path: name, DriverName: driverName}
	}
	return err
}

// GetContent implements storagedriver.StorageDriver.
func (d *driver) GetContent(_ context.Context, name string) ([]byte, error) {
	file, err := d.file(name)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(file)
	return content, notFound(name, err)
}

// PutContent implements storagedriver.StorageDriver.
func (d *driver) PutContent(_ context.Context, name string, content []byte) error {
	file, err := d.file(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(file, content, 0o600)
}

// Reader implements storagedriver.StorageDriver.
func (d *driver) Reader(_ context.Context, name string, offset int64) (io.ReadCloser, error) {
	path, err := d.file(name)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, notFound(name, err)
	}
	info, err := file.Stat()
	if err == nil && (offset < 0 || offset > info.Size()) {
		err = storagedriver.InvalidOffsetError{Path: name, Offset: offset, DriverName: driverName}
	}
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Writer implements storagedriver.StorageDriver. It is only used for uploads, which
// are moved to their place once they are complete.
func (d *driver) Writer(_ context.Context, name string, appending bool) (storagedriver.FileWriter, error) {
	path, err := d.file(name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	flag := os.O_WRONLY | os.O_CREATE
	if !appending {
		flag |= os.O_TRUNC
	}
	file, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &writer{file: file, size: size}, nil
}

// writer appends to a file.
type writer struct {
	file   *os.File
	size   int64
	closed bool
}

// Write implements storagedriver.FileWriter.
func (w *writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.size += int64(n)
	return n, err
}

// Size implements storagedriver.FileWriter.
func (w *writer) Size() int64 { return w.size }

// Commit implements storagedriver.FileWriter.
func (w *writer) Commit(context.Context) error { return w.file.Sync() }

// Cancel implements storagedriver.FileWriter.
func (w *writer) Cancel(context.Context) error {
	return errors.Join(w.Close(), os.Remove(w.file.Name()))
}

// Close implements storagedriver.FileWriter.
func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.file.Close()
}

// Stat implements storagedriver.StorageDriver.
func (d *driver) Stat(_ context.Context, name string) (storagedriver.FileInfo, error) {
	file, err := d.file(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, notFound(name, err)
	}
	fields := storagedriver.FileInfoFields{Path: name, ModTime: info.ModTime(), IsDir: info.IsDir()}
	if !info.IsDir() {
		fields.Size = info.Size()
	}
	return storagedriver.FileInfoInternal{FileInfoFields: fields}, nil
}

// List implements storagedriver.StorageDriver.
func (d *driver) List(_ context.Context, name string) ([]string, error) {
	dir, err := d.file(name)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, notFound(name, err)
	}
	var names []string
	for _, entry := range entries {
		if child := path.Join(name, entry.Name()); storagedriver.PathRegexp.MatchString(child) {
			names = append(names, child)
		}
	}
	return names, nil
}

// Move implements storagedriver.StorageDriver.
func (d *driver) Move(_ context.Context, from, to string) error {
	source, err := d.file(from)
	if err != nil {
		return err
	}
	target, err := d.file(to)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	if err := os.Rename(source, target); err != nil {
		return notFound(from, err)
	}
	return atomicfile.SyncDir(filepath.Dir(target))
}

// Delete implements storagedriver.StorageDriver.
func (d *driver) Delete(_ context.Context, name string) error {
	file, err := d.file(name)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(file); err != nil {
		return notFound(name, err)
	}
	if err := os.RemoveAll(file); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// RedirectURL implements storagedriver.StorageDriver.
func (d *driver) RedirectURL(*http.Request, string) (string, error) { return "", nil }

// Walk implements storagedriver.StorageDriver.
func (d *driver) Walk(ctx context.Context, name string, f storagedriver.WalkFn, options ...func(*storagedriver.WalkOptions)) error {
	return storagedriver.WalkFallback(ctx, d, name, f, options...)
}
