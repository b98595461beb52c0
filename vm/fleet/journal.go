package fleet

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

const (
	// keptEntries is how many entries of a journal are remembered.
	keptEntries = 50
	// maxJournal bounds the file of a journal, in bytes.
	maxJournal = 1 << 20
	// interrupted is the failure of a change whose result was not recorded.
	interrupted = "the daemon ended meanwhile"
)

// journal has the last changes of one kind that the daemon made by itself, in memory and on
// disk.
type journal[T any] struct {
	path string
	// began returns when a change began, which identifies it.
	began func(T) time.Time

	mu  sync.Mutex // guards all
	all []T
}

// openJournal reads the changes that were recorded. It ignores a damaged record. abandon marks
// a change that has not ended as failed.
func openJournal[T any](path string, began func(T) time.Time, abandon func(*T)) *journal[T] {
	j := &journal[T]{path: path, began: began}
	content, err := os.ReadFile(path)
	if err != nil || len(content) > maxJournal || json.Unmarshal(content, &j.all) != nil {
		j.all = nil
	}
	for i := range j.all {
		abandon(&j.all[i])
	}
	return j
}

func (j *journal[T]) list() []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.all)
}

// put records that a change begins, or that the last one has ended.
func (j *journal[T]) put(one T) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if last := len(j.all) - 1; last >= 0 && j.began(j.all[last]).Equal(j.began(one)) {
		j.all[last] = one
	} else {
		j.all = append(j.all, one)
	}
	j.all = j.all[max(0, len(j.all)-keptEntries):]
	content, err := json.MarshalIndent(j.all, "", "  ")
	if err == nil {
		err = atomicfile.Write(j.path, append(content, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("record a change: %w", err)
	}
	return nil
}
