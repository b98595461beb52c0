package lima

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// monitorLimit is how long QEMU may take to carry out a command; a machine that
// is to stop finishes first what it does on its disks.
const monitorLimit = 30 * time.Second

// maxMonitor bounds what QEMU says during one command, in bytes.
const maxMonitor = 1 << 20

// monitor has QEMU carry out one command without arguments, at the unix socket
// of its monitor (QEMU Machine Protocol, docs/interop/qmp-spec.rst).
func monitor(ctx context.Context, socket, command string) error {
	ctx, cancel := context.WithTimeout(ctx, monitorLimit)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("reach QEMU's monitor: %w", err)
	}
	defer func() { _ = conn.Close() }()
	release := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer release()
	said := json.NewDecoder(io.LimitReader(conn, maxMonitor))
	// It greets, and takes no other command before the first.
	if err := answered(said, func(m message) bool { return m.Greeting != nil }); err != nil {
		return fmt.Errorf("greeting of QEMU's monitor: %w", errors.Join(err, ctx.Err()))
	}
	for _, execute := range []string{"qmp_capabilities", command} {
		err := json.NewEncoder(conn).Encode(map[string]string{"execute": execute})
		if err == nil {
			err = answered(said, func(m message) bool { return m.Return != nil })
		}
		if err != nil {
			return fmt.Errorf("%s, asked of QEMU's monitor: %w", execute, errors.Join(err, ctx.Err()))
		}
	}
	return nil
}

// message is one that the monitor sends; events have none of these.
type message struct {
	Greeting json.RawMessage `json:"QMP"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Description string `json:"desc"`
	} `json:"error"`
}

// answered reads messages until the one that is waited for.
func answered(said *json.Decoder, awaited func(message) bool) error {
	for {
		var m message
		switch err := said.Decode(&m); {
		case err != nil:
			return err
		case m.Error != nil:
			return errors.New(m.Error.Description)
		case awaited(m):
			return nil
		}
	}
}
