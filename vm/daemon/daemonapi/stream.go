package daemonapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxEvent bounds one event, in bytes.
const maxEvent = 4 << 20

// errCut is returned for a stream that ended before its last event.
var errCut = &Failure{
	Cause: "the daemon ended before the operation was done",
	Hint:  "run the command again to continue from here",
}

// Follow calls event with each event of a stream until the last one, and returns
// its failure. A stream without a last event is an error.
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

// maxFailure bounds the answer to a request that failed, in bytes.
const maxFailure = 1 << 20

// ReadFailure returns the error of a response whose status is not a success: a
// *Failure if the body holds one, else the status and the beginning of the body.
func ReadFailure(response *http.Response) error {
	content, _ := io.ReadAll(io.LimitReader(response.Body, maxFailure))
	var failure Failure
	if err := json.Unmarshal(content, &failure); err == nil && failure.Cause != "" {
		return &failure
	}
	return fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(content[:min(len(content), 300)]))
}
