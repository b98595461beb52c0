package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// StateVersion is the shape of State that this program writes and reads.
const StateVersion = 1

// ErrCorrupt says that a state file could not be read; it was kept aside.
var ErrCorrupt = errors.New("the cluster's state file is damaged")

// State is what the host remembers of a cluster.
type State struct {
	Version int `json:"version"`
	// Spec as last applied; its APIPort is never 0.
	Spec Spec `json:"spec"`
	// Nodes are the names of all machines that exist or may exist.
	Nodes []string `json:"nodes"`
	// Formed is set once the first control plane has formed the etcd cluster:
	// whoever comes later joins it.
	Formed bool `json:"formed,omitempty"`
	// Image is the digest of the node image that machines were last started
	// with, Kubernetes its version.
	Image      string    `json:"image"`
	Kubernetes string    `json:"kubernetes"`
	Created    time.Time `json:"created"`
}

// ParseState reads the content of a state file.
func ParseState(content []byte) (State, error) {
	var state State
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&state); err != nil {
		return State{}, fmt.Errorf("decode: %w", err)
	}
	if state.Version != StateVersion {
		return State{}, fmt.Errorf("version %d is not %d", state.Version, StateVersion)
	}
	// The host may have changed since; that is no damage.
	if faults := Validate(state.Spec, Host{CPUs: 1 << 20, MemoryMiB: 1 << 40, DiskFreeMiB: 1 << 40}, 0); len(faults) > 0 {
		return State{}, errors.Join(faults...)
	}
	for _, name := range state.Nodes {
		if !label.MatchString(name) {
			return State{}, fmt.Errorf("node %q is no name", name)
		}
	}
	return state, nil
}

// ReadState reads the state file at path; fs.ErrNotExist if there is none. A
// file that cannot be understood is renamed, never overwritten, and the error
// is ErrCorrupt with the new name.
func ReadState(path string, now time.Time) (State, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return State{}, fmt.Errorf("read the cluster's state: %w", err)
	}
	state, err := ParseState(content)
	if err == nil {
		return state, nil
	}
	aside := fmt.Sprintf("%s.corrupt-%s", path, now.UTC().Format("20060102T150405Z"))
	if rename := os.Rename(path, aside); rename != nil {
		return State{}, fmt.Errorf("%w: %w (and it cannot be kept aside: %w)", ErrCorrupt, err, rename)
	}
	return State{}, fmt.Errorf("%w: %w; it was kept as %s", ErrCorrupt, err, aside)
}

// Damaged are the state files that ReadState kept aside for path.
func Damaged(path string) []string {
	files, _ := filepath.Glob(path + ".corrupt-*")
	return files
}

// WriteState replaces the state file at path in one step.
func WriteState(path string, state State) error {
	state.Version = StateVersion
	content, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return fmt.Errorf("write the cluster's state: %w", err)
	}
	if err := atomicfile.Write(path, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the cluster's state: %w", err)
	}
	return nil
}

// IsAbsent says that there is no state file.
func IsAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
