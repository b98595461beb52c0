package daemonapi

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxEvent bounds one event, in bytes.
const maxEvent = 4 << 20

// errCut is returned for a stream that ended before its last event.
var errCut = &Failure{
	Cause: "the daemon ended before it was done",
	Hint:  "run the command again to go on from here",
}

// Follow reads the events of a stream until the last. The error is the failure
// that the last one carries, or says that there was no last one.
func Follow(stream io.Reader, event func(Event)) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read the daemon's events: %w", err)
		}
		event(e)
		if !e.Done {
			continue
		}
		if e.Failure != nil {
			return e.Failure
		}
		return nil
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read the daemon's events: %w", err)
	}
	return errCut
}
