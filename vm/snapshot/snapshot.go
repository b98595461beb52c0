// Package snapshot keeps copies of whole clusters: of the machines, as their driver makes
// them, and of the state that the host keeps of them. A snapshot exists if and only if its
// manifest does, which is written last and removed first, both durably. A restore prepares
// everything beside the cluster's files and then takes effect in one step.
package snapshot

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
)

// Format is the version of the snapshots that this program makes.
const Format = 1

// Names in the directory of a snapshot.
const (
	manifestFile = "snapshot.json"
	filesDir     = "files"
	machinesDir  = "machines"
)

// maxManifest limits the size of a manifest, in bytes.
const maxManifest = 1 << 20

// Errors of this package.
var (
	// ErrNone reports that the snapshot does not exist.
	ErrNone = errors.New("no such snapshot")
	// ErrExists reports that there already is one of that name.
	ErrExists = errors.New("the snapshot exists already")
	// ErrDamaged reports a snapshot whose own files have changed.
	ErrDamaged = errors.New("the snapshot is damaged")
	// ErrName reports a name that no snapshot can have.
	ErrName = errors.New("invalid name")
)

// Manifest describes a snapshot.
type Manifest struct {
	Format  int       `json:"format"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Driver is the driver of the machines.
	Driver string `json:"driver"`
	// Kubernetes is the version, Minor its first two numbers, Image the digest of the node
	// image.
	Kubernetes string    `json:"kubernetes"`
	Minor      string    `json:"minor"`
	Image      string    `json:"image"`
	Machines   []Machine `json:"machines"`
	// PausedSeconds is how long the machines were paused for the snapshot.
	PausedSeconds float64 `json:"pausedSeconds"`
	// Files has the SHA-256 sums of the copies of the cluster's files, by name.
	Files map[string]string `json:"files"`
}

// Machine is one machine of a snapshot.
type Machine struct {
	Name string `json:"name"`
	machine.Snapshot
}

// Memory reports whether the snapshot has the memory of all machines.
func (m Manifest) Memory() bool {
	return !slices.ContainsFunc(m.Machines, func(m Machine) bool { return !m.Snapshot.Memory })
}

// Bytes returns the space that the snapshot takes on disk.
func (m Manifest) Bytes() int64 {
	var sum int64
	for _, one := range m.Machines {
		sum += one.Bytes
	}
	return sum
}

// Names returns the names of the machines.
func (m Manifest) Names() []string {
	var names []string
	for _, one := range m.Machines {
		names = append(names, one.Name)
	}
	return names
}

// validName matches the names of snapshots, which are those of directories.
var validName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$`)

// CheckName returns an error that wraps ErrName unless a snapshot can have the name.
func CheckName(name string) error {
	if validName.MatchString(name) {
		return nil
	}
	return fmt.Errorf("%w %q of a snapshot: use at most 63 lower-case letters, digits, dashes and dots", ErrName, name)
}

// DefaultName returns the name of a snapshot that the user did not name.
func DefaultName(now time.Time) string { return now.Format("20060102-150405") }

// Dir returns the directory of a snapshot, which need not exist. The name must be valid.
func Dir(dir home.Cluster, name string) string { return filepath.Join(dir.Snapshots(), name) }

// MachineDir returns the directory with the copy of a machine.
func MachineDir(dir home.Cluster, name, of string) string {
	return filepath.Join(Dir(dir, name), machinesDir, of)
}

// Read returns the manifest of a snapshot. The error wraps ErrName, ErrNone or ErrDamaged.
func Read(dir home.Cluster, name string) (Manifest, error) {
	if err := CheckName(name); err != nil {
		return Manifest{}, err
	}
	path := filepath.Join(Dir(dir, name), manifestFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, fmt.Errorf("%s: %w", name, ErrNone)
	}
	if err == nil && info.Size() > maxManifest {
		return Manifest{}, fmt.Errorf("%s: %w: its description is too large", name, ErrDamaged)
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(path)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("read the snapshot %s: %w", name, err)
	}
	m, err := parse(content)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", name, err)
	}
	m.Name = name // the directory may have been renamed
	return m, nil
}

func parse(content []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return m, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.Format != Format {
		return m, fmt.Errorf("%w: it was made by another version of skiff (format %d, not %d)", ErrDamaged, m.Format, Format)
	}
	if len(m.Machines) == 0 {
		return m, fmt.Errorf("%w: it has no machines", ErrDamaged)
	}
	for _, one := range m.Machines {
		if CheckName(one.Name) != nil {
			return m, fmt.Errorf("%w: invalid machine %q", ErrDamaged, one.Name)
		}
	}
	return m, nil
}

// List returns the snapshots of a cluster, the oldest first, and one error for each that is
// damaged.
func List(dir home.Cluster) (all []Manifest, damaged []error, err error) {
	names, _, err := entries(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		m, err := Read(dir, name)
		switch {
		case errors.Is(err, ErrNone): // removed meanwhile
		case err != nil:
			damaged = append(damaged, err)
		default:
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b Manifest) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	return all, damaged, nil
}

// Count returns how many snapshots a cluster has, damaged ones included; 0 if that is not
// known.
func Count(dir home.Cluster) int {
	names, _, _ := entries(dir)
	return len(names)
}

// entries returns the names of snapshots, and of directories without a manifest.
func entries(dir home.Cluster) (complete, unfinished []string, err error) {
	found, err := os.ReadDir(dir.Snapshots())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list the snapshots: %w", err)
	}
	for _, entry := range found {
		if !entry.IsDir() || CheckName(entry.Name()) != nil {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir.Snapshots(), entry.Name(), manifestFile)); err == nil {
			complete = append(complete, entry.Name())
		} else {
			unfinished = append(unfinished, entry.Name())
		}
	}
	return complete, unfinished, nil
}

// Remove removes a snapshot. The caller holds the lock of the snapshots. The error wraps
// ErrName or ErrNone.
func Remove(dir home.Cluster, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	switch err := os.Remove(filepath.Join(Dir(dir, name), manifestFile)); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", name, ErrNone)
	case err != nil:
		return fmt.Errorf("remove the snapshot %s: %w", name, err)
	}
	if err := errors.Join(atomicfile.SyncDir(Dir(dir, name)), os.RemoveAll(Dir(dir, name))); err != nil {
		return fmt.Errorf("remove the snapshot %s: %w", name, err)
	}
	return nil
}

// Unfinished returns the directories of snapshots that were never completed or only partly
// removed.
func Unfinished(dir home.Cluster) ([]string, error) {
	_, names, err := entries(dir)
	for i, name := range names {
		names[i] = Dir(dir, name)
	}
	return names, err
}

// Clean removes what Unfinished returns. The caller holds the lock of the snapshots.
func Clean(dir home.Cluster) error {
	left, err := Unfinished(dir)
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}
