package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// run runs a program in a node and returns what it printed; the error carries
// what it said on standard error if it did not end well.
func (c *nodeClient) run(ctx context.Context, address netip.Addr, args ...string) (string, error) {
	body, err := json.Marshal(nodeapi.ExecRequest{Args: args})
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, nodeURL(address)+nodeapi.PathExec, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", nodeapi.UpgradeExec)
	response, err := c.transport.RoundTrip(r)
	if err != nil {
		return "", fmt.Errorf("run %s: %w", args[0], err)
	}
	defer func() { _ = response.Body.Close() }()
	stream, ok := response.Body.(io.ReadWriter)
	if response.StatusCode != http.StatusSwitchingProtocols || !ok {
		return "", fmt.Errorf("run %s: %s", args[0], response.Status)
	}
	if err := nodeapi.NewWriter(stream).Write(nodeapi.StdinClose, nil); err != nil {
		return "", fmt.Errorf("run %s: %w", args[0], err)
	}
	out, err := collect(stream)
	if err != nil {
		return "", fmt.Errorf("run %s: %w", args[0], err)
	}
	return out, nil
}

// collect reads a program's output until its end.
func collect(stream io.Reader) (string, error) {
	var out, failure strings.Builder
	for out.Len()+failure.Len() < maxAnswer {
		kind, payload, err := nodeapi.ReadFrame(stream)
		if err != nil {
			return "", fmt.Errorf("the connection ended before the program: %w", err)
		}
		switch kind {
		case nodeapi.Stdout:
			out.Write(payload)
		case nodeapi.Stderr:
			failure.Write(payload)
		case nodeapi.Failure:
			return "", errors.New(string(payload))
		case nodeapi.Exit:
			if len(payload) != 4 || binary.BigEndian.Uint32(payload) != 0 {
				return "", fmt.Errorf("it failed: %s", strings.TrimSpace(failure.String()))
			}
			return out.String(), nil
		}
	}
	return "", errors.New("it printed too much")
}
