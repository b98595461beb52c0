package snapshot

import (
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
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/home"
)

// replaced is where the machines from before are until they are removed.
const replaced = "replaced"

// Outcome is what Recover found.
type Outcome string

// The outcomes.
const (
	// Nothing means that no restore was interrupted.
	Nothing Outcome = ""
	// Undone means that one was interrupted before it took effect.
	Undone Outcome = "undone"
	// Finished means that one was interrupted after it took effect.
	Finished Outcome = "finished"
)

// State returns the state of the cluster in a snapshot. The error wraps ErrDamaged.
func State(dir home.Cluster, m Manifest) (cluster.State, error) {
	all, err := files(dir, m)
	if err != nil {
		return cluster.State{}, err
	}
	state, err := cluster.ParseState(all[stateFile])
	if err != nil {
		return state, fmt.Errorf("%s: %w: %w", m.Name, ErrDamaged, err)
	}
	return state, nil
}

// Stage prepares the files of a cluster for a restore with the given state, which is that of
// the snapshot apart from what the host has changed. It returns the directory for the machines,
// which Commit expects there, synced. Until Commit, Recover undoes it. The caller holds the
// cluster's lock and that of the snapshots.
func Stage(dir home.Cluster, m Manifest, state cluster.State) (machines string, err error) {
	all, err := files(dir, m)
	if err != nil {
		return "", err
	}
	state.Version = cluster.StateVersion
	if all[stateFile], err = json.MarshalIndent(state, "", "  "); err != nil {
		return "", err
	}
	for name := range kept(dir) {
		if all[name] == nil {
			all[name] = []byte{} // it did not exist
		}
	}
	return prepare(dir, all)
}

// prepare writes the files that will replace those of a cluster.
func prepare(dir home.Cluster, all map[string][]byte) (machines string, err error) {
	if _, err := Recover(dir); err != nil {
		return "", err
	}
	if err := atomicfile.WriteTree(dir.Restoring(), all); err != nil {
		return "", fmt.Errorf("prepare the restore: %w", err)
	}
	machines = staged(dir)
	return machines, os.Mkdir(machines, 0o700)
}

// StageClone is Stage for a new cluster in dir, with its own credentials, from a snapshot of the
// cluster in from. The caller holds the lock of dir's cluster, and reads the snapshots of from.
func StageClone(dir, from home.Cluster, m Manifest, state cluster.State, credentials pki.Files) (machines string, err error) {
	copies, err := files(from, m)
	if err != nil {
		return "", err
	}
	// Its services get ports of the host that are free.
	all := map[string][]byte{}
	for _, name := range []string{balancersFile, cursorsFile} {
		if content := copies[name]; content != nil {
			all[name] = content
		}
	}
	if all[stateFile], err = json.MarshalIndent(state, "", "  "); err != nil {
		return "", err
	}
	for path, content := range credentials {
		all[filepath.Base(dir.PKI())+"/"+path] = content
	}
	return prepare(dir, all)
}

// Keyring returns the encryption keys of the cluster in a snapshot.
func Keyring(dir home.Cluster, m Manifest) (pki.Keyring, error) {
	all, err := files(dir, m)
	if err != nil {
		return pki.Keyring{}, err
	}
	ring, err := pki.Files{pki.KeyringFile: all[keyringFile]}.Keyring()
	if err != nil {
		return ring, fmt.Errorf("%s: %w: %w", m.Name, ErrDamaged, err)
	}
	return ring, nil
}

// staged is where the machines are that will replace those of the cluster.
func staged(dir home.Cluster) string {
	return filepath.Join(dir.Restoring(), filepath.Base(dir.Machines()))
}

// Commit makes the restore that was prepared take effect. No process uses the cluster's
// machines. If it is interrupted, or fails, Recover finishes it or undoes it.
func Commit(dir home.Cluster) error {
	for _, folder := range []string{staged(dir), dir.Restoring(), string(dir)} {
		if err := atomicfile.SyncDir(folder); err != nil {
			return fmt.Errorf("restore the snapshot: %w", err)
		}
	}
	return run(append([]step{take(dir)}, finish(dir)...))
}

// Recover undoes a restore that was interrupted before it took effect, and finishes one that
// was interrupted later. The caller holds the cluster's lock, and no process uses the
// cluster's machines.
func Recover(dir home.Cluster) (Outcome, error) {
	if !Pending(dir) {
		return Nothing, os.RemoveAll(gone(dir))
	}
	if _, err := os.Lstat(filepath.Join(dir.Restoring(), stateFile)); err == nil {
		return Undone, run([]step{drop(dir)})
	}
	return Finished, run(finish(dir))
}

// Pending reports whether a restore was interrupted, or is in progress.
func Pending(dir home.Cluster) bool {
	_, err := os.Lstat(dir.Restoring())
	return err == nil
}

// step is a part of a restore that can be repeated.
type step func() error

func run(steps []step) error {
	for _, do := range steps {
		if err := do(); err != nil {
			return fmt.Errorf("restore the snapshot: %w", err)
		}
	}
	return nil
}

// take replaces the cluster's state, by which all other files are the snapshot's.
func take(dir home.Cluster) step {
	return func() error {
		return errors.Join(
			os.Rename(filepath.Join(dir.Restoring(), stateFile), dir.State()),
			atomicfile.SyncDir(string(dir)), atomicfile.SyncDir(dir.Restoring()),
		)
	}
}

// finish returns the steps after take.
func finish(dir home.Cluster) []step {
	steps := []step{
		func() error { return moveAway(dir) },
		func() error { return rename(staged(dir), dir.Machines()) },
		// Only a new cluster has credentials there.
		func() error { return rename(filepath.Join(dir.Restoring(), filepath.Base(dir.PKI())), dir.PKI()) },
		func() error { return errors.Join(atomicfile.SyncDir(string(dir)), atomicfile.SyncDir(dir.Restoring())) },
	}
	all := kept(dir)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name != stateFile {
			steps = append(steps, func() error { return place(filepath.Join(dir.Restoring(), name), all[name]) })
		}
	}
	return append(steps, drop(dir))
}

// moveAway makes room for the machines of the snapshot.
func moveAway(dir home.Cluster) error {
	if _, err := os.Lstat(staged(dir)); errors.Is(err, fs.ErrNotExist) {
		return nil // they have their place
	}
	return rename(dir.Machines(), filepath.Join(dir.Restoring(), replaced))
}

// rename renames what exists.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// place moves a file of the snapshot to its place. An empty one means that there was none.
func place(from, to string) error {
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.Remove(from)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return errors.Join(os.Rename(from, to), atomicfile.SyncDir(filepath.Dir(to)))
}

// drop removes what is left of the restore. The state, whose presence would undo the restore,
// must not be the last to go, so that directory is renamed first.
func drop(dir home.Cluster) step {
	return func() error {
		if err := os.RemoveAll(gone(dir)); err != nil {
			return err
		}
		if err := rename(dir.Restoring(), gone(dir)); err != nil {
			return err
		}
		return errors.Join(atomicfile.SyncDir(string(dir)), os.RemoveAll(gone(dir)))
	}
}

// gone is what is being removed.
func gone(dir home.Cluster) string { return dir.Restoring() + ".gone" }
