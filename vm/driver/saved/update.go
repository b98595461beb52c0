package saved

import (
	"bytes"
	"os"
)

// Update makes target equal to source and returns how many bytes it had to write. Only pages
// that differ are written, so that a second call is fast while little has changed.
func Update(target, source *os.File, interrupted Interrupted) (written int64, err error) {
	info, err := source.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	if err := target.Truncate(size); err != nil {
		return 0, err
	}
	u := updater{target: target, interrupted: interrupted, had: make([]byte, min(chunk, size))}
	end := int64(0) // of what is done
	err = read(source, size, interrupted, func(part []byte, at int64) error {
		if err := u.clear(end, at); err != nil {
			return err
		}
		end = at + int64(len(part))
		return u.write(part, at)
	})
	if err == nil {
		err = u.clear(end, size)
	}
	return u.written, err
}

// updater writes to target what it does not have.
type updater struct {
	target      *os.File
	interrupted Interrupted
	had         []byte // a part of target
	written     int64  // in bytes
}

// write writes the pages of part, which belong at an offset of target, that differ.
func (u *updater) write(part []byte, offset int64) error {
	had := u.had[:len(part)]
	if _, err := u.target.ReadAt(had, offset); err != nil {
		return err
	}
	if bytes.Equal(had, part) {
		return nil
	}
	for at := 0; at < len(part); {
		next := min(at+pageSize, len(part))
		if bytes.Equal(had[at:next], part[at:next]) {
			at = next
			continue
		}
		for next < len(part) && !bytes.Equal(had[next:min(next+pageSize, len(part))], part[next:min(next+pageSize, len(part))]) {
			next = min(next+pageSize, len(part))
		}
		if _, err := u.target.WriteAt(part[at:next], offset+int64(at)); err != nil {
			return err
		}
		u.written += int64(next - at)
		at = next
	}
	return nil
}

// clear writes zeros over what target has between two offsets, where source has a hole.
func (u *updater) clear(from, to int64) error {
	for from < to {
		begin, end, err := data(u.target, from, to)
		if err != nil {
			return err
		}
		for from = begin; from < end; from = min(from+pageSize, end) {
			if err := u.interrupted(); err != nil {
				return err
			}
			if err := u.write(zeros[:min(pageSize, end-from)], from); err != nil {
				return err
			}
		}
		from = end
	}
	return nil
}
