package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// maxFile bounds the file of faults, in bytes.
const maxFile = 1 << 20

// Write replaces the record of active faults at path, or removes it if there are none. Call
// it before a fault begins and after one has ended, so that the record never lacks a fault
// that is in force.
func Write(path string, active []daemonapi.Fault) error {
	if len(active) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the record of faults: %w", err)
		}
		return nil
	}
	content, err := json.MarshalIndent(active, "", "  ")
	if err != nil {
		return fmt.Errorf("record the faults: %w", err)
	}
	if err := atomicfile.Write(path, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("record the faults: %w", err)
	}
	return nil
}

// Read returns the recorded faults, none if the file does not exist.
func Read(path string) ([]daemonapi.Fault, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of faults: %w", err)
	}
	defer func() { _ = file.Close() }()
	var recorded []daemonapi.Fault
	if err := json.NewDecoder(io.LimitReader(file, maxFile)).Decode(&recorded); err != nil {
		return nil, fmt.Errorf("read the record of faults: %w", err)
	}
	return recorded, nil
}
