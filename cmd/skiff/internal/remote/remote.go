// Package remote runs programs on nodes.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/client"
)

// SplitCommand parses "NODE [-- COMMAND…]".
func SplitCommand(cmd *cobra.Command, args []string) (node string, command []string, err error) {
	dash := cmd.ArgsLenAtDash()
	switch {
	case len(args) == 0 || dash == 0:
		return "", nil, cli.Invalid("usage: "+cmd.UseLine(), "%s: no node given", cmd.Name())
	case len(args) > 1 && dash != 1:
		return "", nil, cli.Invalid("usage: "+cmd.UseLine(), "%s: put -- before the command", cmd.Name())
	}
	return args[0], args[1:], nil
}

// Capture runs a program on the node named name and returns its standard output.
// The error contains the last line of its standard error.
func Capture(ctx context.Context, c *client.Client, name string, stdin io.Reader, args ...string) (string, error) {
	var out, failure Limited
	code, err := c.Node(name).Exec(ctx, nodeapi.ExecRequest{Args: args}, client.Streams{
		Stdin: stdin, Stdout: &out, Stderr: &failure,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("%s on node %s failed with exit code %d: %s", args[0], name, code, LastLine(failure.String()))
	}
	return out.String(), err
}

// maxCapture bounds the output that is kept in memory, in bytes.
const maxCapture = 16 << 20

// Limited is a writer that keeps the first maxCapture bytes and discards the rest.
type Limited struct{ strings.Builder }

func (l *Limited) Write(p []byte) (int, error) {
	l.Builder.Write(p[:min(len(p), max(0, maxCapture-l.Len()))])
	return len(p), nil
}

// LastLine returns the last line of text.
func LastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// OnEach calls do for all nodes concurrently. The results are in the order of
// nodes.
func OnEach[T any](nodes []string, do func(node string) (T, error)) ([]T, error) {
	results, failed := make([]T, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			results[i], failed[i] = do(node)
		})
	}
	wg.Wait()
	return results, errors.Join(failed...)
}
