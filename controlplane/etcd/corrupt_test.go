package etcd

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// replace replaces bytes in the values of a stopped member's database, as a disk
// that forgot a write might.
func replace(t *testing.T, s Settings, old, value []byte) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(s.Dir, "member", "snap", "db"), 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	err = db.Update(func(tx *bolt.Tx) error {
		keys := tx.Bucket([]byte("key"))
		return keys.ForEach(func(k, v []byte) error {
			if !bytes.Contains(v, old) {
				return nil
			}
			found = true
			return keys.Put(bytes.Clone(k), bytes.ReplaceAll(v, old, value))
		})
	})
	if err := errors.Join(err, db.Close()); err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}
}

func TestAMemberWhoseDataDiffersIsReported(t *testing.T) {
	settings := threeSettings(t)
	var members [3]*Member
	var stops [3]func()
	for i := range settings {
		settings[i].hashCheck = 200 * time.Millisecond
		members[i], stops[i] = serve(t, settings[i])
	}
	client := members[0].NewClient()
	defer func() { _ = client.Close() }()
	put := func(key, value string) int64 {
		t.Helper()
		answer, err := client.Put(t.Context(), key, value)
		if err != nil {
			t.Fatal(err)
		}
		return answer.Header.Revision
	}
	compact := func() {
		t.Helper()
		if _, err := client.Compact(t.Context(), put("filler", "x"), clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
	}
	put("account", "balance=100")
	compact()
	time.Sleep(5 * settings[0].hashCheck)
	if alarms := members[0].Alarms(); len(alarms) > 0 {
		t.Fatalf("alarms of equal members: %v", alarms)
	}

	stops[2]()
	replace(t, settings[2], []byte("balance=100"), []byte("balance=999"))
	members[2], _ = serve(t, settings[2])
	compact()
	for deadline := time.Now().Add(30 * time.Second); !slices.Equal(members[0].Alarms(), []string{"CORRUPT"}); {
		if time.Now().After(deadline) {
			t.Fatalf("alarms %v", members[0].Alarms())
		}
		time.Sleep(50 * time.Millisecond)
	}
}
