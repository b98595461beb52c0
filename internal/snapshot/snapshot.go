// Package snapshot verifies snapshots of an etcd database before anything is
// replaced by them, on the host and on the node.
package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ErrInvalid means that a file is not a whole snapshot of etcd.
var ErrInvalid = errors.New("not a valid etcd snapshot")

// sector is the alignment of a database without its checksum, by which etcd
// itself recognizes that there is one (etcdutl/snapshot, hasChecksum).
const sector = 512

// openLimit bounds the wait for the lock of a database file.
const openLimit = 5 * time.Second

// The bucket of all revisions (etcd's server/storage/schema). A key begins with
// the main revision as a big-endian number.
var keyBucket = []byte("key")

// Info describes a snapshot.
type Info struct {
	// SHA256 is the checksum at the end of the file, in hexadecimal.
	SHA256 string
	// Bytes is the size of the file.
	Bytes int64
	// Revision is the last one in the database.
	Revision int64
}

// Verify checks that the file at path is a snapshot as etcd's Snapshot call
// writes it: a consistent database followed by its SHA-256. The error wraps
// ErrInvalid if it is not.
func Verify(path string) (Info, error) {
	sum, size, err := verifyChecksum(path)
	if err != nil {
		return Info{}, fmt.Errorf("verify the snapshot: %w", err)
	}
	revision, err := verifyDatabase(path, size-sha256.Size)
	if err != nil {
		return Info{}, fmt.Errorf("verify the snapshot: %w", err)
	}
	return Info{SHA256: hex.EncodeToString(sum), Bytes: size, Revision: revision}, nil
}

// verifyChecksum compares the content with the SHA-256 at its end.
func verifyChecksum(path string) (sum []byte, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	size = info.Size()
	if size < sector || size%sector != sha256.Size {
		return nil, 0, fmt.Errorf("%w: it does not end with a checksum; only files written by \"skiff etcd snapshot\" or \"etcdctl snapshot save\" can be used", ErrInvalid)
	}
	hash, want := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.CopyN(hash, f, size-sha256.Size); err != nil {
		return nil, 0, err
	}
	if _, err := io.ReadFull(f, want); err != nil {
		return nil, 0, err
	}
	if !bytes.Equal(hash.Sum(nil), want) {
		return nil, 0, fmt.Errorf("%w: its checksum does not match its content; the file is damaged", ErrInvalid)
	}
	return want, size, nil
}

// verifyDatabase checks every page of the database, which has that size at
// most, and returns the last revision.
func verifyDatabase(path string, size int64) (revision int64, err error) {
	defer func() {
		// bbolt panics on pages that it cannot make sense of.
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrInvalid, r)
		}
	}()
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, Timeout: openLimit})
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return revision, db.View(func(tx *bolt.Tx) error {
		if tx.Size() > size {
			return fmt.Errorf("%w: the database has %d bytes, the file only %d", ErrInvalid, tx.Size(), size)
		}
		var first error
		for err := range tx.Check() { // to the end, or its goroutine would remain
			if first == nil {
				first = fmt.Errorf("%w: %w", ErrInvalid, err)
			}
		}
		if first != nil {
			return first
		}
		keys := tx.Bucket(keyBucket)
		if keys == nil {
			return fmt.Errorf("%w: it is a database of another program", ErrInvalid)
		}
		if last, _ := keys.Cursor().Last(); len(last) >= 8 {
			revision = int64(binary.BigEndian.Uint64(last)) //nolint:gosec // etcd's revisions are positive
		}
		return nil
	})
}
