package lima

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
)

// monitorLimit is how long QEMU may take to carry out a command. A machine that
// is stopped finishes its disk operations first.
const monitorLimit = 30 * time.Second

// startLimit is how long QEMU may take until it listens at its monitors. It writes its
// process ID before that.
const startLimit = 30 * time.Second

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
	return monitored(ctx, socket, func(conn net.Conn, in *json.Decoder) error {
		_, err := execute(conn, in, command, nil)
		return err
	})
}

// growOpen has QEMU enlarge the disk that it has open at path, unless that is larger.
func growOpen(ctx context.Context, socket, path string, bytes int64) error {
	return monitored(ctx, socket, func(conn net.Conn, in *json.Decoder) error {
		answer, err := execute(conn, in, "query-named-block-nodes", map[string]any{"flat": true})
		if err != nil {
			return err
		}
		name, have, err := findDisk(answer, path)
		if err != nil || have >= bytes {
			return err
		}
		_, err = execute(conn, in, "block_resize", map[string]any{"node-name": name, "size": bytes})
		return err
	})
}

// findDisk returns the block node of a qcow2 file in the answer to
// query-named-block-nodes, and its size in bytes.
func findDisk(answer json.RawMessage, path string) (name string, bytes int64, err error) {
	var nodes []struct {
		Name   string `json:"node-name"`
		Format string `json:"drv"`
		Image  struct {
			File  string `json:"filename"`
			Bytes int64  `json:"virtual-size"`
		} `json:"image"`
	}
	if err := json.Unmarshal(answer, &nodes); err != nil {
		return "", 0, err
	}
	for _, n := range nodes {
		if n.Format == "qcow2" && n.Image.File == path {
			return n.Name, n.Image.Bytes, nil
		}
	}
	return "", 0, fmt.Errorf("QEMU does not have %s open", path)
}

// monitored calls do with a connection to a monitor that takes commands.
func monitored(ctx context.Context, socket string, do func(net.Conn, *json.Decoder) error) error {
	return monitoredBy(ctx, dialMonitor, socket, do)
}

func monitoredBy(ctx context.Context, dial func(context.Context, string) (net.Conn, error), socket string, do func(net.Conn, *json.Decoder) error) error {
	ctx, cancel := context.WithTimeout(ctx, monitorLimit)
	defer cancel()
	conn, err := dial(ctx, socket)
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
	if err := do(conn, in); err != nil {
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

// dialStarting is dialMonitor for a QEMU that may not listen yet.
func dialStarting(ctx context.Context, socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		conn, err := dialMonitor(ctx, socket)
		if err == nil || pause.For(ctx, 2*time.Millisecond) != nil {
			return conn, err
		}
	}
}

// greet reads QEMU's greeting and enters the mode in which it takes commands.
func greet(out io.Writer, in *json.Decoder) error {
	if _, err := receive(in, func(m message) bool { return m.Greeting != nil }); err != nil {
		return fmt.Errorf("read the greeting of QEMU's monitor: %w", err)
	}
	_, err := execute(out, in, "qmp_capabilities", nil)
	return err
}

// execute sends a command with arguments, which may be nil, and returns its result.
// Events that arrive before it are dropped.
func execute(out io.Writer, in *json.Decoder, command string, arguments map[string]any) (json.RawMessage, error) {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	err := json.NewEncoder(out).Encode(request)
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
