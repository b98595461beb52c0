package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Size of a terminal.
type Size struct{ Rows, Columns uint16 }

// Streams of a program in a node. Nil streams are empty or discarded; Resize
// may be nil.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan Size
}

// Exec runs a program in the node and returns its exit code. An error means
// that the program could not be started or that the connection broke. Stdin is
// read until it ends, which may be after the program has ended.
func (c *Client) Exec(ctx context.Context, request nodeapi.ExecRequest, streams Streams) (int, error) {
	code, err := c.exec(ctx, request, streams)
	if err != nil && ctx.Err() == nil {
		return 0, c.wrap("run "+strings.Join(request.Args, " ")+" on", err)
	}
	return code, err
}

func (c *Client) exec(ctx context.Context, request nodeapi.ExecRequest, streams Streams) (int, error) {
	conn, err := c.upgrade(ctx, c.transport, nodeapi.PathExec, nodeapi.UpgradeExec, request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	release := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer release()
	done := make(chan struct{})
	defer close(done)
	frames := nodeapi.NewWriter(conn)
	go send(frames, streams.Stdin)
	if streams.Resize != nil {
		go resize(frames, streams.Resize, done)
	}
	code, err := receive(conn, streams)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return code, err
}

// Check lets one of the node's programs check content. It returns what the program wrote
// to standard error if it does not accept it, or else an empty string.
func (c *Client) Check(ctx context.Context, program string, content []byte) (string, error) {
	var stderr bounded
	request := nodeapi.ExecRequest{Args: []string{program, "-check", "/proc/self/fd/0"}}
	code, err := c.Exec(ctx, request, Streams{Stdin: bytes.NewReader(content), Stderr: &stderr})
	if err != nil || code == 0 {
		return "", err
	}
	return cmp.Or(stderr.String(), fmt.Sprintf("exit code %d", code)), nil
}

// Run runs a program without input and returns what it wrote to standard output.
// If it fails, the error has what it wrote to standard error.
func (c *Client) Run(ctx context.Context, args ...string) (string, error) {
	var stdout bounded
	err := c.Pipe(ctx, nil, &stdout, args...)
	return stdout.String(), err
}

// Pipe runs a program with an input and an output, each of which may be nil. If it fails, the
// error has what it wrote to standard error. Like Exec, it may return before stdin has ended.
func (c *Client) Pipe(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	var stderr bounded
	code, err := c.Exec(ctx, nodeapi.ExecRequest{Args: args}, Streams{Stdin: stdin, Stdout: stdout, Stderr: &stderr})
	if err == nil && code != 0 {
		err = c.wrap("run "+args[0]+" on", fmt.Errorf("exit code %d: %s", code, strings.TrimSpace(stderr.String())))
	}
	return err
}

// bounded is a buffer for the output of a program that is not trusted.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxAnswer {
		return 0, errors.New("the output is too long")
	}
	return b.Buffer.Write(p)
}

// upgrade sends a request, which may be nil, and returns the connection once it carries
// the other protocol.
func (c *Client) upgrade(ctx context.Context, transport http.RoundTripper, path, protocol string, request any) (io.ReadWriteCloser, error) {
	r, err := jsonhttp.NewRequest(ctx, http.MethodPost, c.base+path, request)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", protocol)
	response, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	conn, ok := response.Body.(io.ReadWriteCloser)
	if response.StatusCode == http.StatusSwitchingProtocols && ok {
		return conn, nil
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusPreconditionFailed {
		return nil, ErrNoBuilder
	}
	return nil, daemonapi.ReadFailure(response)
}

// send copies stdin to the program until stdin ends.
func send(frames *nodeapi.Writer, stdin io.Reader) {
	if stdin != nil {
		// The receiving side reports a broken connection.
		if _, err := io.Copy(frames.Stream(nodeapi.Stdin), stdin); err != nil {
			return
		}
	}
	_ = frames.Write(nodeapi.StdinClose, nil)
}

func resize(frames *nodeapi.Writer, sizes <-chan Size, done <-chan struct{}) {
	for {
		select {
		case size, open := <-sizes:
			if !open {
				return
			}
			payload := binary.BigEndian.AppendUint16(nil, size.Rows)
			payload = binary.BigEndian.AppendUint16(payload, size.Columns)
			if err := frames.Write(nodeapi.Resize, payload); err != nil {
				return
			}
		case <-done:
			return
		}
	}
}

// receive copies the program's output until the program has ended.
func receive(reader io.Reader, streams Streams) (int, error) {
	stdout, stderr := streams.Stdout, streams.Stderr
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	for {
		stream, payload, err := nodeapi.ReadFrame(reader)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the connection closed before the program ended")
			}
			return 0, err
		}
		switch stream {
		case nodeapi.Stdout:
			_, err = stdout.Write(payload)
		case nodeapi.Stderr:
			_, err = stderr.Write(payload)
		case nodeapi.Exit:
			if len(payload) != 4 {
				return 0, fmt.Errorf("%w: exit code of %d bytes", nodeapi.ErrFrame, len(payload))
			}
			return int(int32(binary.BigEndian.Uint32(payload))), nil
		case nodeapi.Failure:
			return 0, errors.New(string(payload))
		}
		if err != nil {
			return 0, fmt.Errorf("write output: %w", err)
		}
	}
}
