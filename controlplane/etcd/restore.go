package etcd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	verify "github.com/skiff-dev/skiff/internal/snapshot"
)

// Files beside the data directory. Each appears and disappears by a rename or a
// removal, so that a crash at any moment leaves one of the states below.
const (
	// heldSuffix: etcd must not start; the file holds the ID of the restore.
	heldSuffix = ".held"
	// stagedSuffix: a verified snapshot.
	stagedSuffix = ".restore"
	// freshSuffix: a complete data directory made from the snapshot. It takes the
	// place of the data directory, which becomes beforeSuffix.
	freshSuffix = ".fresh"
	// beforeSuffix: the data that the last restore replaced.
	beforeSuffix = ".before"
	// rejoinSuffix: the data is dropped at the next start; the file holds the name
	// of the member whose cluster is joined.
	rejoinSuffix = ".rejoin"
	// partialSuffix: incomplete, without meaning.
	partialSuffix = ".partial"
)

// restoredFile lies in a data directory that was made from a snapshot and holds
// the ID of the restore.
const restoredFile = "restored"

// revisionBump returns how much is added to the revision of restored data, so that it
// is above every revision that clients know: they would take older ones for the past,
// and watch for what never comes. It grows by 100,000 a second, faster than a cluster
// writes, because one snapshot can be restored several times.
func revisionBump(now time.Time) uint64 { return uint64(now.UnixMicro() / 10) }

// Held returns the ID of the restore for which the member must not start, empty
// if it may.
func (s Settings) Held() (string, error) { return readID(s.Dir + heldSuffix) }

// Restored returns the ID of the restore that made the data, empty if none did.
func (s Settings) Restored() (string, error) { return readID(filepath.Join(s.Dir, restoredFile)) }

func readID(path string) (string, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the state of a restore: %w", err)
	}
	return string(content), nil
}

// Stage stores a snapshot for Replace once it is verified. It may be called
// while the member runs.
func (s Settings) Stage(ctx context.Context, content io.Reader) (controlapi.SnapshotInfo, error) {
	path := s.Dir + stagedSuffix
	if err := write(path+partialSuffix, content, controlapi.MaxSnapshotBytes); err != nil {
		return controlapi.SnapshotInfo{}, errors.Join(err, remove(path+partialSuffix))
	}
	info, err := verify.Verify(path + partialSuffix)
	if errors.Is(err, verify.ErrInvalid) {
		err = fmt.Errorf("%w: %w", controlapi.ErrInvalid, err)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = rename(path+partialSuffix, path)
	}
	if err != nil {
		return controlapi.SnapshotInfo{}, errors.Join(err, remove(path+partialSuffix))
	}
	return controlapi.SnapshotInfo{SHA256: info.SHA256, Bytes: info.Bytes, Revision: info.Revision}, nil
}

// Hold keeps the member from starting until Release. One that runs continues.
func (s Settings) Hold(id string) error { return atomicfile.Write(s.Dir+heldSuffix, []byte(id), 0o600) }

// Replace replaces the data by that of the staged snapshot, in which the member
// is the only one of a new cluster. It must be held by the restore called id. A
// snapshot that cannot be used leaves the data as it was.
func (s Settings) Replace(id string) error {
	if err := s.heldBy(id); err != nil {
		return err
	}
	if restored, err := s.Restored(); err != nil || restored == id {
		return err
	}
	ready, err := readID(filepath.Join(s.Dir+freshSuffix, restoredFile))
	if err != nil {
		return err
	}
	if ready != id {
		if err := s.prepare(id); err != nil {
			return err
		}
	}
	// Without it a crash after the swap could not restore a second time over the
	// data from before.
	if err := remove(s.Dir + stagedSuffix); err != nil {
		return err
	}
	if exists(s.Dir) {
		if err := errors.Join(os.RemoveAll(s.Dir+beforeSuffix), rename(s.Dir, s.Dir+beforeSuffix)); err != nil {
			return fmt.Errorf("keep the data from before the restore: %w", err)
		}
	}
	return rename(s.Dir+freshSuffix, s.Dir)
}

// prepare makes a complete data directory from the staged snapshot.
func (s Settings) prepare(id string) error {
	if !exists(s.Dir + stagedSuffix) {
		return fmt.Errorf("%w: no snapshot is staged", controlapi.ErrRefused)
	}
	partial := s.Dir + freshSuffix + partialSuffix
	if err := errors.Join(os.RemoveAll(partial), os.RemoveAll(s.Dir+freshSuffix)); err != nil {
		return fmt.Errorf("prepare the restored data: %w", err)
	}
	peer := s.url(s.Address, s.peerPort())
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: s.Dir + stagedSuffix, Name: s.Name, OutputDataDir: partial,
		PeerURLs: []string{peer.String()}, InitialCluster: s.Name + "=" + peer.String(),
		// The token makes the cluster's ID: members of the old cluster must not take
		// this one for theirs.
		InitialClusterToken: "skiff-" + s.Cluster + "-" + rand.Text(),
		RevisionBump:        revisionBump(time.Now()), MarkCompacted: true,
	})
	if err == nil {
		err = atomicfile.Write(filepath.Join(partial, restoredFile), []byte(id), 0o600)
	}
	if err == nil {
		err = syncTree(partial)
	}
	if err == nil {
		err = rename(partial, s.Dir+freshSuffix)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("prepare the restored data: %w", err), os.RemoveAll(partial))
	}
	return nil
}

// Revert undoes what Stage and Replace did for the restore called id. Data that
// was replaced can be brought back only while the member is held.
func (s Settings) Revert(id string) error {
	restored, err := s.Restored()
	if err != nil {
		return err
	}
	if restored == id && exists(s.Dir+beforeSuffix) {
		if err := s.heldBy(id); err != nil {
			return err
		}
		if err := errors.Join(os.RemoveAll(s.Dir+freshSuffix), rename(s.Dir, s.Dir+freshSuffix)); err != nil {
			return fmt.Errorf("undo the restore: %w", err)
		}
	}
	if !exists(s.Dir) && exists(s.Dir+beforeSuffix) {
		if err := rename(s.Dir+beforeSuffix, s.Dir); err != nil {
			return fmt.Errorf("undo the restore: %w", err)
		}
	}
	for _, suffix := range []string{freshSuffix, stagedSuffix, stagedSuffix + partialSuffix, freshSuffix + partialSuffix} {
		if err := os.RemoveAll(s.Dir + suffix); err != nil {
			return fmt.Errorf("undo the restore: %w", err)
		}
	}
	return nil
}

// Release lets a member that is held by the restore called id start. If join is
// not empty, the member drops its data then and joins the cluster of the member
// called join. A member that is not held was released already.
func (s Settings) Release(id, join string) error {
	held, err := s.Held()
	if err != nil || held == "" {
		return err
	}
	if err := s.heldBy(id); err != nil {
		return err
	}
	if join != "" {
		if err := atomicfile.Write(s.Dir+rejoinSuffix, []byte(join), 0o600); err != nil {
			return err
		}
	}
	return remove(s.Dir + heldSuffix)
}

func (s Settings) heldBy(id string) error {
	held, err := s.Held()
	if err == nil && (held != id || id == "") {
		err = fmt.Errorf("%w: the member is not held by restore %q", controlapi.ErrRefused, id)
	}
	return err
}

// rejoin drops the data if Release asked for that; the request remains until the
// member has joined: see joined.
func (s *Settings) rejoin() error {
	by, err := readID(s.Dir + rejoinSuffix)
	if err != nil || by == "" {
		return err
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		return fmt.Errorf("drop the data to join another cluster: %w", err)
	}
	s.Join, s.by = true, by
	return nil
}

// joined removes the request of rejoin, which was carried out.
func (s Settings) joined() error { return remove(s.Dir + rejoinSuffix) }

// write writes and flushes a file of at least one byte and at most limit.
func write(path string, content io.Reader, limit int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	n, err := io.Copy(f, io.LimitReader(content, limit+1))
	if err == nil && (n == 0 || n > limit) {
		err = fmt.Errorf("%w: %d bytes, but 1 to %d are allowed", controlapi.ErrInvalid, n, limit)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

// rename renames and flushes the directory.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(to))
}

// remove removes a file, which may be absent, and flushes the directory.
func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// syncTree flushes a directory and all below it.
func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
