package etcd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// Files beside the data directory that say what is to become of it when the
// member starts next. They are written by a tool while the member may run, and
// removed once they have been obeyed.
const (
	restoreSuffix = ".restore" // a snapshot that replaces the data
	rejoinSuffix  = ".rejoin"  // the data is dropped; the file names the member to join by
	beforeSuffix  = ".before"  // the data that a restore replaced
	partialSuffix = ".partial" // not yet whole
)

// revisionBump keeps clients of the old data from taking old revisions for new
// ones: a cluster would need weeks to use up so many.
const revisionBump = 1_000_000_000

// maxSnapshotBytes bounds a snapshot: a database cannot be larger.
const maxSnapshotBytes = quotaBytes + 64<<20

// Changes are the paths whose appearance asks a running member to start again.
func (s Settings) Changes() []string { return []string{s.Dir + restoreSuffix, s.Dir + rejoinSuffix} }

// RequestRestore has the member begin its next start as the only member of a
// new cluster, with the data of snapshot.
func (s Settings) RequestRestore(content io.Reader) error {
	return s.request(restoreSuffix, content, maxSnapshotBytes)
}

// RequestRejoin has the member drop its data at its next start and join the
// cluster again that the member called by belongs to.
func (s Settings) RequestRejoin(by io.Reader) error {
	return s.request(rejoinSuffix, by, 1<<10)
}

// request writes a file whole or not at all.
func (s Settings) request(suffix string, content io.Reader, limit int64) (err error) {
	path := s.Dir + suffix
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return fmt.Errorf("leave a request for etcd: %w", err)
	}
	defer f.Discard()
	n, err := io.Copy(f, io.LimitReader(content, limit+1))
	if err == nil && (n == 0 || n > limit) {
		err = fmt.Errorf("%d bytes: between 1 and %d are possible", n, limit)
	}
	if err == nil {
		err = f.Commit()
	}
	if err != nil {
		return fmt.Errorf("leave a request for etcd: %w", err)
	}
	return nil
}

// obey does what was asked for while the member did not run. It may be
// interrupted anywhere and called again.
func (s *Settings) obey() error {
	if by, err := os.ReadFile(s.Dir + rejoinSuffix); err == nil {
		return s.rejoin(string(by))
	}
	if _, err := os.Stat(s.Dir + restoreSuffix); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.restore()
}

// rejoin leaves the request in place until the member has joined: see joined.
func (s *Settings) rejoin(by string) error {
	if err := os.RemoveAll(s.Dir); err != nil {
		return fmt.Errorf("drop etcd's data: %w", err)
	}
	s.Join, s.by = true, by
	return nil
}

// joined removes a request to join again that was obeyed.
func (s Settings) joined() error {
	if err := os.Remove(s.Dir + rejoinSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the request to join etcd again: %w", err)
	}
	return nil
}

func (s Settings) restore() error {
	fresh := s.Dir + partialSuffix
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("restore etcd: %w", err)
	}
	peer := s.url(s.Address, s.peerPort())
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: s.Dir + restoreSuffix, Name: s.Name, OutputDataDir: fresh,
		PeerURLs: []string{peer.String()}, InitialCluster: s.Name + "=" + peer.String(),
		// Another cluster than the one before: members of that one must not take
		// this for one of theirs.
		InitialClusterToken: "skiff-" + s.Cluster + "-" + rand.Text(),
		RevisionBump:        revisionBump, MarkCompacted: true,
	})
	if err != nil {
		// A bad snapshot must not keep the cluster from its good data.
		return errors.Join(fmt.Errorf("restore etcd: %w", err), os.Rename(s.Dir+restoreSuffix, s.Dir+restoreSuffix+".refused"))
	}
	if _, err := os.Stat(s.Dir); err == nil {
		if err := errors.Join(os.RemoveAll(s.Dir+beforeSuffix), os.Rename(s.Dir, s.Dir+beforeSuffix)); err != nil {
			return fmt.Errorf("keep etcd's data from before: %w", err)
		}
	}
	if err := os.Rename(fresh, s.Dir); err != nil {
		return fmt.Errorf("restore etcd: %w", err)
	}
	if err := os.Remove(s.Dir + restoreSuffix); err != nil {
		return fmt.Errorf("restore etcd: %w", err)
	}
	return atomicfile.SyncDir(filepath.Dir(s.Dir))
}
