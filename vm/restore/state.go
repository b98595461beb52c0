package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Step is how far a restore has come.
type Step string

// The steps. Up to StepHold nothing was changed; from StepJoin on the first
// control plane serves the restored content.
const (
	StepStage   Step = "stage"   // the snapshot is being verified on the first
	StepHold    Step = "hold"    // all are being held
	StepReplace Step = "replace" // the first's data is being replaced
	StepJoin    Step = "join"    // the others are joining the first
	StepUndo    Step = "undo"    // the data from before is being brought back
)

// State is the content of a restore's file.
type State struct {
	// ID names the restore on the nodes.
	ID string `json:"id"`
	// SHA256 is the snapshot's checksum, in hexadecimal.
	SHA256 string `json:"sha256"`
	Step   Step   `json:"step"`
}

// Finished reports whether Recover finishes rather than undoes the restore.
func (s State) Finished() bool { return s.Step == StepReplace || s.Step == StepJoin }

// Read returns the state at path; its ID is empty if no restore is in progress.
func Read(path string) (State, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	var state State
	if err == nil {
		err = json.Unmarshal(content, &state)
	}
	if err == nil && state.ID == "" {
		err = errors.New("it has no ID")
	}
	if err != nil {
		return State{}, fmt.Errorf("read the state of the restore in %s: %w", path, err)
	}
	return state, nil
}

// Pending reports whether path holds the state of a restore, or a damaged one.
func Pending(path string) bool {
	state, err := Read(path)
	return err != nil || state.ID != ""
}
