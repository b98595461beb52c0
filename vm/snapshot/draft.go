package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/home"
)

// Names of the copies of the cluster's files. A restore takes effect when that of the state
// file is renamed.
const (
	stateFile     = "cluster.json"
	keyringFile   = "keyring.json"
	balancersFile = "loadbalancers.json"
	cursorsFile   = "cursors.json"
)

// kept returns the files of a cluster that a restore brings back, by the names of their copies.
// Records are not brought back, but how much of the nodes' logs was collected must fit to the
// nodes' disks.
func kept(dir home.Cluster) map[string]string {
	return map[string]string{
		stateFile:       dir.State(),
		keyringFile:     filepath.Join(dir.PKI(), pki.KeyringFile),
		balancersFile:   dir.LoadBalancers(),
		"services.json": dir.Services(),
		cursorsFile:     filepath.Join(dir.Logs(), home.LogCursors),
		"restore.json":  dir.Restore(),
	}
}

// Draft is a snapshot that is being made.
type Draft struct {
	dir  home.Cluster
	name string
	lock *home.Lock

	files map[string][]byte
	done  bool
}

// Begin begins a snapshot and removes what others left that were not completed. The caller
// calls Close. The error wraps ErrName, ErrExists or home.ErrLocked.
func Begin(dir home.Cluster, name string) (*Draft, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	lock, err := dir.AcquireSnapshots()
	if err != nil {
		return nil, err
	}
	if err := begin(dir, name); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return &Draft{dir: dir, name: name, lock: lock}, nil
}

func begin(dir home.Cluster, name string) error {
	if err := Clean(dir); err != nil {
		return fmt.Errorf("remove unfinished snapshots: %w", err)
	}
	if err := os.MkdirAll(dir.Snapshots(), 0o700); err != nil {
		return err
	}
	err := os.Mkdir(Dir(dir, name), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", name, ErrExists)
	}
	return err
}

// Name returns the name of the snapshot.
func (d *Draft) Name() string { return d.name }

// Machine creates the directory for the copy of a machine and returns it.
func (d *Draft) Machine(name string) (string, error) {
	dir := MachineDir(d.dir, d.name, name)
	return dir, os.MkdirAll(dir, 0o700)
}

// Keep reads the files of the cluster.
func (d *Draft) Keep() error {
	d.files = map[string][]byte{}
	for name, path := range kept(d.dir) {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		d.files[name] = content
	}
	if d.files[stateFile] == nil {
		return fmt.Errorf("%s is missing", d.dir.State())
	}
	return nil
}

// Commit completes the snapshot, the copies of whose machines are complete and synced. m needs
// no name, format or files.
func (d *Draft) Commit(m Manifest) error {
	m.Name, m.Format, m.Files = d.name, Format, map[string]string{}
	for name, content := range d.files {
		sum := sha256.Sum256(content)
		m.Files[name] = hex.EncodeToString(sum[:])
	}
	content, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	dir := Dir(d.dir, d.name)
	if err := atomicfile.WriteTree(filepath.Join(dir, filesDir), d.files); err != nil {
		return err
	}
	// The names of everything else must be on disk before that of the manifest.
	for _, folder := range []string{filepath.Join(dir, machinesDir), dir, d.dir.Snapshots(), string(d.dir)} {
		if err := atomicfile.SyncDir(folder); err != nil {
			return err
		}
	}
	if err := atomicfile.Write(filepath.Join(dir, manifestFile), append(content, '\n'), 0o600); err != nil {
		return err
	}
	d.done = true
	return nil
}

// Close removes what was not committed.
func (d *Draft) Close() error {
	var err error
	if !d.done {
		err = os.RemoveAll(Dir(d.dir, d.name))
	}
	return errors.Join(err, d.lock.Release())
}

// files returns the copies of the cluster's files in a snapshot, after checking them. The
// error wraps ErrDamaged.
func files(dir home.Cluster, m Manifest) (map[string][]byte, error) {
	known := kept(dir)
	all := map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if known[name] == "" {
			return nil, fmt.Errorf("%s: %w: unknown file %q", m.Name, ErrDamaged, name)
		}
		content, err := os.ReadFile(filepath.Join(Dir(dir, m.Name), filesDir, name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", m.Name, ErrDamaged, err)
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != m.Files[name] {
			return nil, fmt.Errorf("%s: %w: the checksum of %s is wrong", m.Name, ErrDamaged, name)
		}
		all[name] = content
	}
	if all[stateFile] == nil {
		return nil, fmt.Errorf("%s: %w: it has no state", m.Name, ErrDamaged)
	}
	return all, nil
}
