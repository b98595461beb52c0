package lima

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/skiff-dev/skiff/vm/driver"
)

// eventsSock is the socket of a second monitor, below a machine's directory. A
// monitor serves one client at a time, and the events need one that stays.
const eventsSock = "events.sock"

// stalls tells of a machine that QEMU stops and resumes by itself.
type stalls interface {
	// Stall is called with the reason when QEMU stops the machine.
	Stall(reason string)
	// Unstall is called when the machine runs again.
	Unstall()
}

// blockError is the data of the event BLOCK_IO_ERROR (qapi/block-core.json).
type blockError struct {
	Device  string `json:"device"`
	Action  string `json:"action"`
	NoSpace bool   `json:"nospace"`
	Reason  string `json:"reason"`
}

// followEvents reports to s when QEMU stops the machine because of its disks,
// until QEMU ends or ctx does.
func followEvents(ctx context.Context, socket string, s stalls) error {
	conn, err := dialStarting(ctx, socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	release := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer release()
	in := json.NewDecoder(conn)
	if err := greet(conn, in); err != nil {
		return err
	}
	if err := reportStatus(conn, in, s); err != nil {
		return err
	}
	for {
		var m message
		if err := in.Decode(&m); err != nil {
			if err == io.EOF || ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read QEMU's events: %w", err)
		}
		handle(m, s)
	}
}

// reportStatus reports a machine that stopped before anybody listened.
func reportStatus(out io.Writer, in *json.Decoder, s stalls) error {
	result, err := execute(out, in, "query-status", nil)
	if err != nil {
		return err
	}
	var status struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(result, &status); err != nil {
		return fmt.Errorf("read QEMU's status: %w", err)
	}
	if status.Status == "io-error" {
		s.Stall(driver.StallDiskError)
	}
	return nil
}

func handle(m message, s stalls) {
	switch m.Event {
	case "RESUME":
		s.Unstall()
	case "BLOCK_IO_ERROR":
		var e blockError
		if err := json.Unmarshal(m.Data, &e); err != nil || e.Action != "stop" {
			return
		}
		if e.NoSpace {
			s.Stall(driver.StallNoSpace)
		} else {
			s.Stall(driver.StallDiskError)
		}
	}
}
