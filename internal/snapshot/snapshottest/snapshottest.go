// Package snapshottest makes etcd snapshots for tests.
package snapshottest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// Database returns the content of a database with one bucket and a key for each
// revision from 1 on.
func Database(t testing.TB, bucket string, revisions uint64) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bucket))
		for n := uint64(1); err == nil && n <= revisions; n++ {
			key := append(binary.BigEndian.AppendUint64(nil, n), "_00000000"...)
			err = b.Put(key, bytes.Repeat([]byte{byte(n)}, 200))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Sign appends the checksum that etcd appends to a database.
func Sign(content []byte) []byte {
	sum := sha256.Sum256(content)
	return append(bytes.Clone(content), sum[:]...)
}

// Snapshot returns a valid snapshot.
func Snapshot(t testing.TB) []byte {
	t.Helper()
	return Sign(Database(t, "key", 1000))
}
