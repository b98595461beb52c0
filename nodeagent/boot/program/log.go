package program

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// maxLogBytes is the size at which a log file is rotated; one old file is kept.
const maxLogBytes = 16 << 20

// maxCopies is how many times as large the old file may be: a log that is written fast
// exceeds its limit until it is checked again.
const maxCopies = 4

// LogFile returns the log file of the named program in dir.
func LogFile(dir, name string) string { return filepath.Join(dir, name+".log") }

// openLog opens a log for appending. Programs write to it themselves, so a slow PID 1
// never blocks them.
func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
}

// rotate copies a log larger than limit to path.1 and truncates it. The program has
// the file open, so it cannot be renamed. Lines written between the copy and the
// truncation are lost. The copy has the same offsets, so a reader of the log continues
// in it, unless the log is so large that only its end is copied.
func rotate(path string, limit int64) (err error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || (err == nil && info.Size() <= limit) {
		return nil
	}
	if err != nil {
		return err
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	old := path + ".1"
	to, err := atomicfile.Create(old, 0o640)
	if err != nil {
		return err
	}
	defer to.Discard()
	if _, err = from.Seek(-min(maxCopies*limit, info.Size()), io.SeekEnd); err == nil {
		_, err = io.Copy(to, from)
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", path, err)
	}
	if err := to.Commit(); err != nil {
		return err
	}
	return os.Truncate(path, 0)
}
