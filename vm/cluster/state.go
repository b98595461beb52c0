package cluster

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// StateVersion is the version of State that this program writes. A change of
// what a field means needs a new version and a step in migrations; a new
// optional field does not, because older programs refuse fields that they do
// not know.
const StateVersion = 3

// Errors of reading a state file.
var (
	// ErrDamaged reports a state file that cannot be understood.
	ErrDamaged = errors.New("the cluster's state file is damaged")
	// ErrNewer reports a state file that a newer version of this program wrote.
	// Nothing of such a cluster must be changed.
	ErrNewer = errors.New("the cluster was made by a newer skiff")
)

// State is what the host remembers of a cluster.
type State struct {
	Version int `json:"version"`
	// Spec as last applied; its APIPort is never 0.
	Spec Spec `json:"spec"`
	// Machines are all machines that exist or may exist.
	Machines []Machine `json:"machines"`
	// Components are the settings of Kubernetes' components in force, which nodes start
	// with. Spec has the desired ones.
	Components nodeconfig.Components `json:"components,omitzero"`
	// Kubelets are the additional settings of kubelets in force, by group.
	Kubelets map[string]map[string]any `json:"kubelets,omitempty"`
	// Trial are the settings that running nodes get instead while settings are being changed
	// or restored. If that was interrupted, the settings of nodes may differ.
	Trial *nodeconfig.Components `json:"trial,omitempty"`
	// TrialKubelets are those of Trial.
	TrialKubelets map[string]map[string]any `json:"trialKubelets,omitempty"`
	// Simulated is how many simulated nodes there may be: while their number changes, the
	// larger one.
	Simulated int `json:"simulated,omitempty"`
	// Formed is set once the first control plane has formed the etcd cluster.
	// Control planes that are created later join it.
	Formed bool `json:"formed,omitempty"`
	// Image is the digest of the node image that machines were last started
	// with, Kubernetes its version.
	Image      string `json:"image"`
	Kubernetes string `json:"kubernetes"`
	// ForeignImage is Image for machines of another architecture; empty if there are none.
	ForeignImage string    `json:"foreignImage,omitempty"`
	Created      time.Time `json:"created"`
	// Upgrade is nil unless nodes move to another node image.
	Upgrade *Upgrade `json:"upgrade,omitempty"`
	// Origin is nil unless the cluster was made from a snapshot of another.
	Origin *Origin `json:"origin,omitempty"`
}

// Want makes spec the desired cluster. The groups that are scaled keep their numbers of
// nodes. The kubelets of new groups, or of a cluster that
// never worked, start with the settings of spec. Others keep theirs until new ones have
// proven to work.
func (s *State) Want(spec Spec) {
	spec = spec.Settled(s.Spec)
	kubelets := Kubelets(spec)
	for _, m := range s.Machines {
		group, _, _ := nodeconfig.SplitName(m.Name)
		if inForce, ok := s.Kubelets[group]; ok && s.Formed {
			kubelets[group] = inForce
		} else if s.Formed {
			delete(kubelets, group)
		}
	}
	s.Spec, s.Machines, s.Kubelets = spec, Remember(s.Machines, spec), kubelets
}

// FirstComponents returns the settings of Kubernetes' components that nodes start with
// when a stopped cluster is opened for spec. Those in force stay until new ones have
// proven to work, except in a cluster that never worked or if this version of
// Kubernetes does not know one of their names.
func (s State) FirstComponents(spec Spec, names *kubenames.Names) nodeconfig.Components {
	if !s.Formed || len(validateKubernetes(s.Components, names)) > 0 {
		return spec.Kubernetes
	}
	return s.Components
}

// stateDocument is a state file of any version as decoded JSON.
type stateDocument map[string]any

// migrations change a document of the version that is the key into one of the
// next version. They are pure, and stay as long as files of that version may
// exist.
var migrations = map[int]func(stateDocument) error{
	1: nameDriver,
	2: listMachines,
}

// nameDriver writes out the driver, which was optional in version 1.
func nameDriver(d stateDocument) error {
	spec, ok := d["spec"].(map[string]any)
	if !ok {
		return errors.New("spec is missing")
	}
	if name, _ := spec["driver"].(string); name == "" {
		spec["driver"] = "lima"
	}
	return nil
}

// listMachines replaces the names of machines. Their addresses followed from the names,
// and all had the same size.
func listMachines(d stateDocument) error {
	spec, ok := d["spec"].(map[string]any)
	if !ok {
		return errors.New("spec is missing")
	}
	disk, _ := spec["disk"].(string)
	diskMiB, err := MiB(disk)
	if err != nil {
		return err
	}
	workers, _ := spec["workers"].(json.Number)
	known, _ := d["nodes"].([]any)
	machines := []Machine{}
	for _, one := range known {
		name, _ := one.(string)
		group, index, _ := nodeconfig.SplitName(name)
		m := Machine{Name: name, DiskMiB: diskMiB}
		switch group {
		case nodeconfig.GroupControlPlanes:
			m.Number = controlPlaneNumber + index - 1
			if workers != "0" {
				m.Taints = []string{RoleTaint}
			}
		case nodeconfig.GroupWorkers:
			m.Number = workerNumber + index - 1
		}
		machines = append(machines, m)
	}
	delete(d, "nodes")
	d["machines"] = machines
	return nil
}

// ParseState decodes a state file of this or an older version. The error is
// ErrNewer or ErrDamaged.
func ParseState(content []byte) (State, error) {
	var header struct{ Version int }
	if err := json.Unmarshal(content, &header); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	switch {
	case header.Version > StateVersion:
		return State{}, fmt.Errorf("%w (state version %d): use that skiff or newer", ErrNewer, header.Version)
	case header.Version < 1:
		return State{}, fmt.Errorf("%w: version %d is unknown", ErrDamaged, header.Version)
	}
	content, err := migrate(content, header.Version)
	if err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	state, err := decodeState(content)
	if err != nil {
		return State{}, err
	}
	if err := state.validate(); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return state, nil
}

// migrate brings content from a version to StateVersion.
func migrate(content []byte, version int) ([]byte, error) {
	if version == StateVersion {
		return content, nil
	}
	var document stateDocument
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	for ; version < StateVersion; version++ {
		if err := migrations[version](document); err != nil {
			return nil, fmt.Errorf("migrate from version %d: %w", version, err)
		}
	}
	document["version"] = StateVersion
	return json.Marshal(document)
}

// decodeState decodes a document of StateVersion. A field that this program
// does not know was written by a newer one, which relies on it.
func decodeState(content []byte) (State, error) {
	var state State
	if err := json.Unmarshal(content, &state); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	// Optional fields that are newer than the version.
	state.Spec.Network = state.Spec.Network.withDefaults()
	state.Spec.Zones = cmp.Or(state.Spec.Zones, 1)
	state.Spec.KubernetesVersion = cmp.Or(state.Spec.KubernetesVersion, manifest.Minor(state.Kubernetes))
	state.Spec.Records = state.Spec.Records.withDefaults()
	state.Spec.Repair = cmp.Or(state.Spec.Repair, RepairAuto)
	state.Spec.Autoscaling = state.Spec.Autoscaling.withDefaults()
	state.Spec.Pause = state.Spec.Pause.withDefaults()
	strict := json.NewDecoder(bytes.NewReader(content))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&State{}); err != nil {
		return State{}, fmt.Errorf("%w (%w): use that skiff or newer", ErrNewer, err)
	}
	return state, nil
}

// validate checks what the file itself must satisfy. The host may have changed
// since it was written, which is no damage.
func (s State) validate() error {
	faults := Validate(s.Spec, Host{CPUs: 1 << 20, MemoryMiB: 1 << 40, DiskFreeMiB: 1 << 40}, 0)
	return errors.Join(append(faults, validateMachines(s.Machines))...)
}

// ReadState reads the state file at path; it changes nothing. The error is
// fs.ErrNotExist if there is no file, ErrDamaged or ErrNewer if it cannot be
// used.
func ReadState(path string) (State, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return State{}, fmt.Errorf("read the cluster's state: %w", err)
	}
	state, err := ParseState(content)
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", path, err)
	}
	return state, nil
}

// WriteState replaces the state file at path. The caller holds the cluster's
// lock and has read the file it replaces, so that no newer state is lost.
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

// IsAbsent reports whether err means that there is no state file.
func IsAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
