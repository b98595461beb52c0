package client

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Node speaks to the node API of one node through the daemon.
func (c *Client) Node(name string) *Node { return &Node{client: c, name: name} }

// Node is one node of a cluster.
type Node struct {
	client *Client
	name   string
}

func (n *Node) path(path string) string {
	return daemonapi.PathNode + url.PathEscape(n.name) + path
}

// Status is what the node says of itself.
func (n *Node) Status(ctx context.Context) (nodeapi.Status, error) {
	var status nodeapi.Status
	if err := n.client.call(ctx, http.MethodGet, n.path(nodeapi.PathStatus), nil, &status); err != nil {
		return status, fmt.Errorf("ask node %s: %w", n.name, err)
	}
	return status, nil
}

// Restart lets the node's machine begin anew; it returns when the node has
// agreed, before it does.
func (n *Node) Restart(ctx context.Context) error {
	request := nodeapi.PowerRequest{Action: nodeapi.PowerActionRestart}
	response, err := n.client.do(ctx, http.MethodPost, n.path(nodeapi.PathPower), request)
	if err != nil {
		return fmt.Errorf("restart node %s: %w", n.name, err)
	}
	return response.Body.Close() // the answer is that it was accepted
}

// Logs streams one log of the node: a program of its Status, "kernel" or
// "init". tail is the number of last lines, 0 for all. The caller closes it.
func (n *Node) Logs(ctx context.Context, source string, tail int, follow bool) (io.ReadCloser, error) {
	query := url.Values{"source": {source}}
	if tail > 0 {
		query.Set("tail", strconv.Itoa(tail))
	}
	if follow {
		query.Set("follow", "true")
	}
	response, err := n.client.do(ctx, http.MethodGet, n.path(nodeapi.PathLogs)+"?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("read log %s of node %s: %w", source, n.name, err)
	}
	return response.Body, nil
}

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
// that it could not be run or that the connection broke. Stdin is read until it
// ends, which may be after the program has.
func (n *Node) Exec(ctx context.Context, request nodeapi.ExecRequest, streams Streams) (int, error) {
	conn, reader, err := n.upgrade(ctx, request)
	if err != nil {
		return 0, fmt.Errorf("run %s on node %s: %w", strings.Join(request.Args, " "), n.name, err)
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
	code, err := receive(reader, streams)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, fmt.Errorf("run %s on node %s: %w", strings.Join(request.Args, " "), n.name, err)
	}
	return code, nil
}

// upgrade sends the request and returns the connection once it speaks frames.
func (n *Node) upgrade(ctx context.Context, request nodeapi.ExecRequest) (net.Conn, *bufio.Reader, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://daemon"+n.path(nodeapi.PathExec), strings.NewReader(string(body)))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", nodeapi.UpgradeExec)
	conn, err := n.client.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	release := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer release()
	reader := bufio.NewReader(conn)
	response, err := roundTrip(conn, reader, r)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		err := readFailure(response)
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, reader, nil
}

func roundTrip(conn net.Conn, reader *bufio.Reader, request *http.Request) (*http.Response, error) {
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	return http.ReadResponse(reader, request)
}

// send passes stdin on until it ends.
func send(frames *nodeapi.Writer, stdin io.Reader) {
	if stdin != nil {
		// A connection that broke shows on the receiving side.
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

// receive passes output on until the program has ended.
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
				err = errors.New("the connection ended before the program")
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
