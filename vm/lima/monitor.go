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

// monitorLimit is how long QEMU may take to carry out a command. A machine that
// is stopped finishes its disk operations first.
const monitorLimit = 30 * time.Second

// maxMonitor limits what QEMU may send during one command, in bytes.
const maxMonitor = 1 << 20

// message is one that a monitor sends (QEMU Machine Protocol,
// docs/interop/qmp-spec.rst).
type message struct {
	Greeting json.RawMessage `json:"QMP"`
	Return   json.RawMessage `json:"return"`
	Error    *struct {
		Description string `json:"desc"`
	} `json:"error"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// monitor has QEMU carry out one command without arguments, over the unix socket
// of its monitor.
func monitor(ctx context.Context, socket, command string) error {
	ctx, cancel := context.WithTimeout(ctx, monitorLimit)
	defer cancel()
	conn, err := dialMonitor(ctx, socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	release := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer release()
	in := json.NewDecoder(io.LimitReader(conn, maxMonitor))
	if err := greet(conn, in); err != nil {
		return errors.Join(err, ctx.Err())
	}
	if _, err := execute(conn, in, command); err != nil {
		return errors.Join(err, ctx.Err())
	}
	return nil
}

func dialMonitor(ctx context.Context, socket string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connect to QEMU's monitor: %w", err)
	}
	return conn, nil
}

// greet reads QEMU's greeting and enters the mode in which it takes commands.
func greet(out io.Writer, in *json.Decoder) error {
	if _, err := receive(in, func(m message) bool { return m.Greeting != nil }); err != nil {
		return fmt.Errorf("read the greeting of QEMU's monitor: %w", err)
	}
	_, err := execute(out, in, "qmp_capabilities")
	return err
}

// execute sends a command and returns its result. Events that arrive before it
// are dropped.
func execute(out io.Writer, in *json.Decoder, command string) (json.RawMessage, error) {
	err := json.NewEncoder(out).Encode(map[string]string{"execute": command})
	if err != nil {
		return nil, fmt.Errorf("send %s to QEMU's monitor: %w", command, err)
	}
	m, err := receive(in, func(m message) bool { return m.Return != nil })
	if err != nil {
		return nil, fmt.Errorf("QEMU's monitor did not execute %s: %w", command, err)
	}
	return m.Return, nil
}

// receive reads messages until one is wanted.
func receive(in *json.Decoder, wanted func(message) bool) (message, error) {
	for {
		var m message
		switch err := in.Decode(&m); {
		case err != nil:
			return m, err
		case m.Error != nil:
			return m, errors.New(m.Error.Description)
		case wanted(m):
			return m, nil
		}
	}
}
