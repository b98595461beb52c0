// Package saved keeps the memory and the state of the devices of machines on disk while
// these have no process. A saved state exists if and only if its manifest does, which is
// written last and removed first, both durably. Reading changes nothing.
package saved

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/machine"
)

// Format is the version of what this program saves.
const Format = 1

// MaxAge is the age up to which saved memory is used. The certificates in it are valid for at
// least half a year when it is saved, unless their renewal had failed.
const MaxAge = 90 * 24 * time.Hour

// Names of the files in a machine's directory.
const (
	manifestFile = "saved.json"
	memoryFile   = "saved.memory"
	devicesFile  = "saved.devices"
)

// maxManifest limits the size of a manifest, in bytes.
const maxManifest = 1 << 20

// Manifest describes a saved state.
type Manifest struct {
	Format int       `json:"format"`
	Time   time.Time `json:"time"`
	Origin Origin    `json:"origin"`
	Memory File      `json:"memory"`
	// Devices is the migration stream of the devices, without the memory.
	Devices File `json:"devices"`
}

// File is one of the files of a saved state.
type File struct {
	// Bytes is its length. The memory has holes.
	Bytes int64 `json:"bytes"`
	// CRC32C is the checksum of its content: for the memory, of the numbers and contents of
	// all pages that are not zero.
	CRC32C uint32 `json:"crc32c"`
}

// Origin is everything that a saved state depends on.
type Origin struct {
	// Program is QEMU's version, Path its executable.
	Program string `json:"program"`
	Path    string `json:"path"`
	// Arguments are those of the process.
	Arguments []string `json:"arguments"`
	// Hypervisor is empty for emulation. HostCPU describes the CPUs of this host, which
	// the guest sees through a hypervisor.
	Hypervisor string `json:"hypervisor,omitempty"`
	HostCPU    string `json:"hostCPU,omitempty"`
	CPUs       int    `json:"cpus"`
	MemoryMiB  int    `json:"memoryMiB"`
	// Image and Kernel are the digests of machine.Image, Settings is that of
	// machine.Machine.
	Image    string `json:"image"`
	Kernel   string `json:"kernel"`
	Settings string `json:"settings"`
	// Disks are those that the machine can write. A guest whose disks have changed without
	// it would destroy them.
	Disks []Disk `json:"disks"`
}

// Disk identifies the content of a disk.
type Disk struct {
	Path     string    `json:"path"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
}

// Stat returns the identity of the disk at path.
func Stat(path string) (Disk, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Disk{}, err
	}
	return Disk{Path: path, Bytes: info.Size(), Modified: info.ModTime().UTC()}, nil
}

// Mismatch returns, in one clause for users, why a state of one origin cannot be used by a
// machine of another one; empty if it can.
func Mismatch(was, is Origin) string {
	switch {
	case was.CPUs != is.CPUs || was.MemoryMiB != is.MemoryMiB:
		return fmt.Sprintf("it was saved with %d CPUs and %d MiB of memory and now has %d and %d", was.CPUs, was.MemoryMiB, is.CPUs, is.MemoryMiB)
	case was.Image != is.Image || was.Kernel != is.Kernel:
		return "the node image has changed"
	case was.Settings != is.Settings:
		return "its settings have changed"
	case was.Hypervisor != is.Hypervisor:
		return "it was saved with " + hypervisor(was.Hypervisor) + " and now runs with " + hypervisor(is.Hypervisor)
	case was.HostCPU != is.HostCPU:
		return "the CPU of this host has changed"
	case was.Program != is.Program:
		return fmt.Sprintf("it was saved by %s, and this is %s", was.Program, is.Program)
	case !slices.EqualFunc(was.Disks, is.Disks, sameDisk):
		return "its disk has changed since"
	}
	return ""
}

// MismatchOfProcess is Mismatch for what is known once the process runs.
func MismatchOfProcess(was, is Origin) string {
	switch {
	case was.Path != is.Path:
		return fmt.Sprintf("it was saved by %s, and %s runs it now", was.Path, is.Path)
	case !slices.Equal(was.Arguments, is.Arguments):
		return "QEMU has other arguments"
	}
	return ""
}

// Moved returns the origin of a machine whose cluster's files are in the directory from, as
// that of the same machine with the same files in the directory to.
func (o Origin) Moved(from, to string) Origin {
	move := func(text string) string { return strings.ReplaceAll(text, from+"/", to+"/") }
	o.Arguments, o.Disks = slices.Clone(o.Arguments), slices.Clone(o.Disks)
	for i := range o.Arguments {
		o.Arguments[i] = move(o.Arguments[i])
	}
	for i := range o.Disks {
		o.Disks[i].Path = move(o.Disks[i].Path)
	}
	return o
}

func sameDisk(a, b Disk) bool {
	return a.Path == b.Path && a.Bytes == b.Bytes && a.Modified.Equal(b.Modified)
}

func hypervisor(name string) string {
	if name == "" {
		return "emulation"
	}
	return name
}

// Read returns the manifest of the machine in dir. The error wraps fs.ErrNotExist if
// nothing is saved. A manifest that cannot be understood is an error as well, and its state
// cannot be used.
func Read(dir string) (Manifest, error) {
	path := filepath.Join(dir, manifestFile)
	info, err := os.Stat(path)
	if err != nil {
		return Manifest{}, err
	}
	if info.Size() > maxManifest {
		return Manifest{}, fmt.Errorf("%s is too large", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return Manifest{}, err
	}
	return parse(content)
}

func parse(content []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return Manifest{}, fmt.Errorf("its description is damaged: %w", err)
	}
	if m.Format != Format {
		return Manifest{}, fmt.Errorf("it was saved by another version of skiff (format %d, not %d)", m.Format, Format)
	}
	if m.Memory.Bytes <= 0 || m.Devices.Bytes <= 0 {
		return Manifest{}, errors.New("its description is damaged")
	}
	return m, nil
}

// Exists reports whether the machine in dir has a saved state, usable or not.
func Exists(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, manifestFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// Describe returns what is known of the saved state in dir. The error wraps fs.ErrNotExist
// if nothing is saved. Of a state that cannot be used, only its size may be known.
func Describe(dir string) (machine.Saved, error) {
	if !Exists(dir) {
		return machine.Saved{}, fmt.Errorf("no memory is saved in %s: %w", dir, fs.ErrNotExist)
	}
	described := machine.Saved{Bytes: diskSpace(filepath.Join(dir, memoryFile)) + diskSpace(filepath.Join(dir, devicesFile))}
	if m, err := Read(dir); err == nil {
		described.Time, described.CPUs, described.MemoryMiB = m.Time, m.Origin.CPUs, m.Origin.MemoryMiB
	}
	return described, nil
}

// Commit makes the state exist whose other files are complete and synced.
func Commit(dir string, m Manifest) error {
	content, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	// The names of the other files must be on disk before that of the manifest.
	if err := atomicfile.SyncDir(dir); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, manifestFile), append(content, '\n'), 0o600)
}

// Consume removes the manifest in dir and returns once that is on disk. The state no longer
// exists then; Discard removes its other files.
func Consume(dir string) error {
	if err := remove(filepath.Join(dir, manifestFile)); err != nil {
		return err
	}
	return atomicfile.SyncDir(dir)
}

// Discard removes what is saved in dir, also what an interrupted save left. It returns once
// the state is gone from the disk. Without one, it changes nothing.
func Discard(dir string) error {
	if Exists(dir) {
		if err := Consume(dir); err != nil {
			return fmt.Errorf("discard the saved memory: %w", err)
		}
	}
	for _, name := range []string{memoryFile, devicesFile} {
		if err := remove(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("discard the saved memory: %w", err)
		}
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// CreateMemory creates the file for the memory of the machine in dir, CreateDevices that for
// its devices. Only their owner can read them: memory contains keys.
func CreateMemory(dir string) (*os.File, error) { return create(filepath.Join(dir, memoryFile)) }

// CreateDevices creates the file for the state of the devices.
func CreateDevices(dir string) (*os.File, error) { return create(filepath.Join(dir, devicesFile)) }

// UpdateMemory makes the file for the memory of the machine in dir, which need not exist, what
// source is, as Update does.
func UpdateMemory(dir string, source *os.File, interrupted Interrupted) (written int64, err error) {
	target, err := os.OpenFile(filepath.Join(dir, memoryFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	written, err = Update(target, source, interrupted)
	return written, errors.Join(err, target.Close())
}

// SumMemory returns the checksum of the memory in dir.
func SumMemory(dir string, interrupted Interrupted) (File, error) {
	file, err := os.Open(filepath.Join(dir, memoryFile))
	if err != nil {
		return File{}, err
	}
	defer func() { _ = file.Close() }()
	return Sum(file, interrupted)
}

// Sync writes those of the two files in dir that exist to disk.
func Sync(dir string) error {
	for _, name := range []string{memoryFile, devicesFile} {
		file, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Link makes the memory and the devices in dir those of the machine in target, too. Nobody
// changes these files.
func Link(dir, target string) error {
	for _, name := range []string{memoryFile, devicesFile} {
		if err := os.Link(filepath.Join(dir, name), filepath.Join(target, name)); err != nil {
			return err
		}
	}
	return nil
}

func create(path string) (*os.File, error) {
	if err := remove(path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
}

// OpenMemory opens the memory of the machine in dir. The error names the damage if
// its length is not the one in the manifest.
func OpenMemory(dir string, m Manifest) (*os.File, error) {
	return open(filepath.Join(dir, memoryFile), m.Memory)
}

// OpenDevices opens the state of the devices as OpenMemory does.
func OpenDevices(dir string, m Manifest) (*os.File, error) {
	return open(filepath.Join(dir, devicesFile), m.Devices)
}

func open(path string, want File) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing", filepath.Base(path))
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != want.Bytes {
		err = fmt.Errorf("%s has %d bytes instead of %d", filepath.Base(path), info.Size(), want.Bytes)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
